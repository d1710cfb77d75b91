//! Judges a model by images in folders, one for each class: how well nearest neighbours and a linear probe know the
//! classes of test images by the embeddings of training images.
//!
//! Embeddings are the server's: the same crop of the same decoded image, the same pooled features.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use detcon_core::arch::Stage;
use detcon_core::image::{ImageError, ImageLimits, RgbImage, decode};
use detcon_core::preprocess::Preprocess;
use rayon::prelude::*;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::frozen::FrozenModel;
use crate::judge::knn::{self, KnnError, KnnSettings, Labelled};
use crate::judge::linear::{self, LinearSettings, Vectors};
use crate::masks::{Layout, MasksError, SourceImage, SourceSet};
use crate::tensor::{axis, to_core};
use detcon_data::shards::Split;

/// Images in memory at once.
const AT_ONCE: usize = 64;
/// The right class counts among so many first ones.
const TOPS: [usize; 2] = [1, 5];

/// Why a model was not judged.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The images cannot be found.
    #[error(transparent)]
    Images(#[from] MasksError),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be decoded.
    #[error("{}: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: ImageError,
    },
    /// A class to be told apart that nothing is known of.
    #[error("{class:?} is a folder of --test and not of --train: both have the same classes")]
    Class {
        /// The class.
        class: String,
    },
    /// Nothing to tell apart.
    #[error("--train has {classes} class: give at least two folders")]
    OneClass {
        /// How many there are.
        classes: usize,
    },
    /// Vectors that cannot be compared.
    #[error(transparent)]
    Vectors(#[from] KnnError),
}

/// How a model is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeSettings {
    /// How neighbours vote.
    pub knn: KnnSettings,
    /// How the linear probe learns.
    pub linear: LinearSettings,
}

/// How good a model's embeddings are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The model's name.
    pub model: String,
    /// SHA-256 of its manifest.
    pub digest: String,
    /// Classes.
    pub classes: usize,
    /// Images that are known.
    pub train_images: usize,
    /// Images asked about.
    pub test_images: usize,
    /// By nearest neighbours.
    pub knn: KnnReport,
    /// By the linear probe.
    pub linear: LinearReport,
}

/// What nearest neighbours know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnnReport {
    /// Neighbours that vote.
    pub neighbours: NonZeroUsize,
    /// Of their votes.
    pub temperature: f64,
    /// Share of the images whose class has most votes.
    pub top1: f64,
    /// Share of the images whose class is among the five with most votes.
    pub top5: f64,
}

/// What the linear probe knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinearReport {
    /// Passes over the known images.
    pub epochs: u32,
    /// The learning rate that was chosen.
    pub learning_rate: f64,
    /// Share of the images whose class is the most probable.
    pub top1: f64,
    /// Share of the images whose class is among the five most probable.
    pub top5: f64,
}

/// Judges a model; `progress` is told how many of all images were looked at.
pub fn probe(
    model: &mut FrozenModel,
    train: &Path,
    test: &Path,
    settings: ProbeSettings,
    mut progress: impl FnMut(usize, usize),
) -> Result<ProbeReport, ProbeError> {
    let [known, asked] = [Images::find(train)?, Images::find(test)?];
    let classes = known.classes();
    if classes.len() < 2 {
        let classes = classes.len();
        return Err(ProbeError::OneClass { classes });
    }
    let all = known.set.len() + asked.set.len();
    let labels = asked.labels(&classes)?; // before the first image is read
    let first = known.vectors(model, known.labels(&classes)?, |done| progress(done, all))?;
    let second = asked.vectors(model, labels, |done| progress(known.set.len() + done, all))?;
    let [knn_top1, knn_top5] =
        knn::accuracies(&first.labelled()?, &second.labelled()?, settings.knn, TOPS)?;
    let [first, second] = [first, second].map(|it| it.vectors(model.device()));
    let linear = linear::probe(&first, &second, settings.linear, TOPS);
    let manifest = model.directory().manifest();
    Ok(ProbeReport {
        model: manifest.name.to_string(),
        digest: model.directory().digest().to_owned(),
        classes: classes.len(),
        train_images: known.set.len(),
        test_images: asked.set.len(),
        knn: KnnReport {
            neighbours: settings.knn.neighbours,
            temperature: settings.knn.temperature,
            top1: knn_top1,
            top5: knn_top5,
        },
        linear: LinearReport {
            epochs: settings.linear.epochs,
            learning_rate: linear.rate,
            top1: linear.accuracies[0],
            top5: linear.accuracies[1],
        },
    })
}

/// A folder of images for each class.
struct Images<'a> {
    root: &'a Path,
    set: SourceSet,
}

/// Embeddings one after the other, and classes.
struct Embedded {
    values: Vec<f32>,
    labels: Vec<u32>,
}

impl Embedded {
    fn width(&self) -> usize {
        self.values
            .len()
            .checked_div(self.labels.len())
            .unwrap_or(0)
    }

    fn labelled(&self) -> Result<Labelled, KnnError> {
        Labelled::new(&self.values, self.width(), &self.labels)
    }

    fn vectors(&self, device: Device) -> Vectors {
        let labels: Vec<i64> = self.labels.iter().copied().map(i64::from).collect();
        let features = Tensor::from_slice(&self.values).view([-1, axis(self.width())]);
        Vectors {
            features: features.to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
        }
    }
}

impl<'a> Images<'a> {
    fn find(root: &'a Path) -> Result<Self, ProbeError> {
        let set = SourceSet::find(Layout::ImageFolder, root, None, Split::Train, 0)?;
        Ok(Self { root, set })
    }

    /// Classes with images, by name, numbered.
    fn classes(&self) -> BTreeMap<String, u32> {
        let images = self.set.images().iter();
        let mut classes: BTreeMap<String, u32> = images
            .map(|image| (self.set.class(image).text.clone(), 0))
            .collect();
        for (number, place) in (0..).zip(classes.values_mut()) {
            *place = number;
        }
        classes
    }

    /// The number of each image's class.
    fn labels(&self, classes: &BTreeMap<String, u32>) -> Result<Vec<u32>, ProbeError> {
        let label = |image: &SourceImage| {
            let class = &self.set.class(image).text;
            classes
                .get(class)
                .copied()
                .ok_or_else(|| ProbeError::Class {
                    class: class.clone(),
                })
        };
        self.set.images().iter().map(label).collect()
    }

    fn vectors(
        &self,
        model: &mut FrozenModel,
        labels: Vec<u32>,
        mut progress: impl FnMut(usize),
    ) -> Result<Embedded, ProbeError> {
        let preprocess = model.directory().manifest().preprocess;
        let (mut values, mut done) = (Vec::new(), 0);
        for part in self.set.images().chunks(AT_ONCE) {
            let read = part.par_iter().map(|image| self.read(image, preprocess));
            let read = read.collect::<Result<Vec<_>, ProbeError>>()?;
            let features = model.features(&read.iter().collect::<Vec<_>>(), Stage::C5);
            let pooled = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
            values.extend(to_core(&pooled).into_values());
            done += part.len();
            progress(done);
        }
        Ok(Embedded { values, labels })
    }

    /// The network's input.
    fn read(&self, image: &SourceImage, preprocess: Preprocess) -> Result<RgbImage, ProbeError> {
        let limits = ImageLimits::default();
        let path = || self.root.join(&image.path);
        let bytes = self.set.read(image, limits.bytes);
        let bytes = bytes.map_err(|source| ProbeError::Read {
            path: path(),
            source,
        })?;
        let pixels = decode(&bytes, &limits);
        let pixels = pixels.map_err(|source| ProbeError::Image {
            path: path(),
            source,
        })?;
        Ok(preprocess.apply(&pixels))
    }
}
