//! A judgement while a run learns: how well nearest neighbours know the classes of images that nothing else is
//! learned from.

use std::num::NonZeroU64;

use detcon_core::preprocess::Preprocess;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use super::knn::{self, KnnError, KnnSettings, Labelled};
use crate::loader::{DataSet, LoaderError};
use crate::network::{Mode, Network};
use crate::tensor::axis;

/// Every so many-th image is asked about, the others are known.
const ASKED: u64 = 5;
/// Images in memory at once.
const AT_ONCE: usize = 64;

/// Labelled images, and when they are used.
#[derive(Debug)]
pub struct Judge {
    data: DataSet,
    every: NonZeroU64,
    settings: KnnSettings,
    preprocess: Preprocess,
}

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// An image could not be used.
    #[error("the images to judge by: {0}")]
    Images(#[from] LoaderError),
    /// No vectors, or vectors that do not match.
    #[error("the images to judge by: {0}")]
    Vectors(#[from] KnnError),
    /// No view of this size.
    #[error("the images to judge by: {0}")]
    Size(#[from] detcon_core::preprocess::PreprocessError),
}

impl Judge {
    /// Judges by the images of `data` that have a class, every `every` steps, after the first and after the last, at `side` pixels.
    pub fn new(data: DataSet, every: NonZeroU64, side: u32) -> Result<Self, JudgeError> {
        Ok(Self {
            data,
            every,
            settings: KnnSettings::default(),
            preprocess: Preprocess::center_crop(side)?,
        })
    }

    /// Whether a judgement is due after `done` of `steps` steps.
    #[must_use]
    pub const fn is_due(&self, done: u64, steps: u64) -> bool {
        done == 1 || done == steps || done.is_multiple_of(self.every.get())
    }

    /// The share of the images asked about whose class their neighbours name: of five images, one is asked about and
    /// four are known. The features are the backbone's, averaged over the image; the network stays as it is.
    pub fn accuracy(&self, network: &Network, device: Device) -> Result<f64, JudgeError> {
        let mut network = network.copy();
        let [mut known, mut asked] = [const { (Vec::new(), Vec::new()) }; 2];
        let images: Vec<u64> = (0..self.data.len()).collect();
        for part in images.chunks(AT_ONCE) {
            let read = part.par_iter().map(|&image| {
                let (pixels, label) = self.data.labelled(image)?;
                Ok(label.map(|label| (image, self.preprocess.apply(&pixels).into_pixels(), label)))
            });
            let read = read.collect::<Result<Vec<_>, LoaderError>>()?;
            let read: Vec<_> = read.into_iter().flatten().collect();
            let inputs: Vec<u8> = read.iter().flat_map(|it| &it.1).copied().collect();
            if read.is_empty() {
                continue;
            }
            let features = embed(&mut network, &inputs, self.preprocess.size(), device);
            let width = features.len() / read.len();
            for ((image, _, label), vector) in read.iter().zip(features.chunks(width)) {
                let (vectors, labels) = if image.is_multiple_of(ASKED) {
                    &mut asked
                } else {
                    &mut known
                };
                vectors.extend_from_slice(vector);
                labels.push(*label);
            }
        }
        let labelled = |(vectors, labels): (Vec<f32>, Vec<u32>)| {
            let width = vectors.len().checked_div(labels.len()).unwrap_or(0);
            Labelled::new(&vectors, width, &labels)
        };
        let (known, asked) = (labelled(known)?, labelled(asked)?);
        Ok(knn::accuracy(&known, &asked, self.settings)?)
    }
}

/// A vector for each image of `[N, side, side, 3]`, one after the other.
fn embed(network: &mut Network, pixels: &[u8], side: u32, device: Device) -> Vec<f32> {
    let side = axis(side as usize);
    no_grad(|| {
        let images = Tensor::from_slice(pixels).view([-1, side, side, 3]);
        let images = images.to_device(device).permute([0, 3, 1, 2]);
        let images = (images.to_kind(Kind::Float) / 255.0).contiguous();
        let features = network.features(&images, Mode::Evaluate);
        let vectors = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
        let vectors = vectors.to_device(Device::Cpu).flatten(0, 1);
        Vec::<f32>::try_from(&vectors).unwrap_or_default()
    })
}
