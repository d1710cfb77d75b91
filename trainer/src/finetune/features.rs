//! Images as their features, which the head learns from, and which it is measured with.

use detcon_core::checkpoint::Tensor as Kept;
use detcon_core::preprocess::{Preprocess, Scratch};
use detcon_core::segment::SegmentMap;
use rayon::prelude::*;
use tch::{Device, Tensor};

use super::folder::{Ids, Pair};
use super::{FinetuneError, FinetuneSettings, Progress};
use crate::frozen::FrozenModel;
use crate::tensor::to_core;

/// Images that are decoded at once.
const AT_ONCE: usize = 32;
/// Pixels of the network's input to a pixel of the labels that are learned from: scores that are interpolated from a
/// stride of 16 or more say nothing finer, and a loss at every pixel takes most of the time.
const LABEL_STRIDE: u32 = 4;

/// An image to learn from.
pub(super) struct Lesson {
    /// float32 `[C, h, w]` on the CPU.
    pub(super) features: Tensor,
    /// int16 `[H, W]` of a quarter of the network's input, on the CPU; -1 counts for nothing.
    pub(super) labels: Tensor,
}

/// An image to measure with.
pub(super) struct Exam {
    /// `[C, h, w]`.
    pub(super) features: Kept,
    /// At the image's own size.
    pub(super) truth: SegmentMap,
}

/// Images to features.
pub(super) struct Features<'a, P> {
    pub(super) view: Preprocess,
    pub(super) settings: &'a FinetuneSettings,
    pub(super) done: usize,
    pub(super) images: usize,
    pub(super) progress: &'a mut P,
}

impl<P: FnMut(Progress)> Features<'_, P> {
    pub(super) fn lessons(
        &mut self,
        model: &mut FrozenModel,
        pairs: &[Pair],
    ) -> Result<Vec<Lesson>, FinetuneError> {
        let view = self.view;
        let ignored = self.settings.ignored;
        self.of(model, pairs, |features, label| {
            let input = view.whole_size(label.height(), label.width());
            let size = input.map(|side| side.div_ceil(LABEL_STRIDE));
            Lesson {
                features,
                labels: nearest(&label, size, ignored),
            }
        })
    }

    pub(super) fn exams(
        &mut self,
        model: &mut FrozenModel,
        pairs: &[Pair],
    ) -> Result<Vec<Exam>, FinetuneError> {
        self.of(model, pairs, |features, truth| Exam {
            features: to_core(&features),
            truth,
        })
    }

    /// What `make` makes of each image's features `[C, h, w]`, on the CPU, and its label.
    fn of<T>(
        &mut self,
        model: &mut FrozenModel,
        pairs: &[Pair],
        make: impl Fn(Tensor, SegmentMap) -> T,
    ) -> Result<Vec<T>, FinetuneError> {
        let ids = Ids {
            classes: self.settings.classes.names().len(),
            ignored: self.settings.ignored,
        };
        let mut found = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(AT_ONCE) {
            let read = part.par_iter().map(|pair| {
                let (pixels, label) = pair.read(ids)?;
                Ok((self.view.whole(&pixels, &mut Scratch::default()), label))
            });
            // One by one: images of one size are rare, and their features are computed once.
            for (input, label) in read.collect::<Result<Vec<_>, FinetuneError>>()? {
                let features = model.features(&[&input], self.settings.stage);
                let features = features.squeeze_dim(0).to_device(Device::Cpu).contiguous();
                found.push(make(features, label));
            }
            self.done += part.len();
            (self.progress)(Progress::Features {
                done: self.done,
                images: self.images,
            });
        }
        Ok(found)
    }
}

/// Labels at another size, int16 `[height, width]`: each pixel has the id of the pixel that its middle lies in.
fn nearest(label: &SegmentMap, [height, width]: [u32; 2], ignored: u16) -> Tensor {
    let place = |at: u32, output: u32, input: u32| {
        let middle = (2 * u64::from(at) + 1) * u64::from(input) / (2 * u64::from(output));
        usize::try_from(middle).unwrap_or(0)
    };
    let columns: Vec<usize> = (0..width).map(|x| place(x, width, label.width())).collect();
    let rows = (0..height).map(|y| place(y, height, label.height()));
    let line = label.width() as usize;
    let ids = rows.flat_map(|y| columns.iter().map(move |x| label.ids()[y * line + x]));
    let ids: Vec<i16> = ids
        .map(|id| {
            if id == ignored {
                -1
            } else {
                i16::try_from(id).unwrap_or(-1)
            }
        })
        .collect();
    Tensor::from_slice(&ids).view([i64::from(height), i64::from(width)])
}
