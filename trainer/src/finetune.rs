//! Trains a segmentation head on a model's features, which stay as they are, and puts it into the model's directory.
//!
//! Images are seen as the server sees them: decoded, the whole of each with its shorter side at the head's size. The
//! features are computed once and kept in memory; the head learns from labels at a quarter of the network's input size. It is
//! measured by the code that serves it, at the images' own size, on images that it did not learn from.
//!
//! Source of the protocol: linear and FCN heads on frozen features, as the literature transfers with (He et al. 2020;
//! Oquab et al. 2023, section 7.4, whose linear head follows a batch norm as ours does).

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensors;
use detcon_core::files::Existing;
use detcon_core::model::{HeadEntry, HeadQuality, ModelName, ModelUpdate};
use detcon_core::preprocess::Preprocess;
use detcon_core::segment::{FeatureMap, HeadKind, SegmentationHead};
use rayon::prelude::*;
use tch::nn::{AdamW, OptimizerConfig as _, VarStore};
use tch::{Device, Kind, Reduction, Tensor};

use self::features::{Exam, Features, Lesson};
use self::folder::Pair;
use self::head::{Spread, TrainedHead};
use crate::frozen::FrozenModel;
use crate::random::{below, stream};

mod classes;
mod confusion;
mod error;
mod features;
mod folder;
mod head;

pub use self::classes::Classes;
pub use self::confusion::Confusion;
pub use self::error::FinetuneError;
pub use self::folder::LabelledFolder;

/// What stands for the ignored id in a loss.
const IGNORED: i64 = -100;

/// Images to measure with.
#[derive(Clone, Debug, PartialEq)]
pub enum Validation {
    /// This share of the images, drawn by the seed; at least one.
    Share(f64),
    /// Other images.
    Folder(LabelledFolder),
}

/// What is learned, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneSettings {
    /// The head's name.
    pub name: ModelName,
    /// What it is made of.
    pub kind: HeadKind,
    /// The features that it reads.
    pub stage: Stage,
    /// Shorter side of the images in the network; the model's own where it is not given.
    pub size: Option<u32>,
    /// What the ids of the labels mean.
    pub classes: Classes,
    /// The id that counts for nothing.
    pub ignored: u16,
    /// Passes over the images.
    pub epochs: NonZeroU32,
    /// Images of a step.
    pub batch: NonZeroUsize,
    /// `AdamW`'s rate at the start; it falls to 0 as a cosine.
    pub learning_rate: f64,
    /// Of the first weights, the order of the images, and the share to measure with.
    pub seed: u64,
    /// Images without a label are left out, and are no error.
    pub skip_unlabelled: bool,
    /// Whether a head of the same name may be replaced.
    pub existing: Existing,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Features of so many of all images are computed.
    Features {
        /// Images done.
        done: usize,
        /// Of so many.
        images: usize,
    },
    /// An epoch is over.
    Epoch {
        /// Which, from 1.
        epoch: u32,
        /// Its mean loss.
        loss: f64,
    },
}

/// Trains a head and adds it to the model's directory; gives how good it is.
pub fn finetune(
    model: &mut FrozenModel,
    images: &LabelledFolder,
    validation: &Validation,
    settings: &FinetuneSettings,
    mut progress: impl FnMut(Progress),
) -> Result<HeadQuality, FinetuneError> {
    let manifest = model.directory().manifest();
    let there = manifest.segmentation_heads.contains_key(&settings.name);
    if there && settings.existing == Existing::Keep {
        let head = settings.name.clone();
        return Err(FinetuneError::Exists { head });
    }
    if !(settings.learning_rate.is_finite() && settings.learning_rate > 0.0) {
        return Err(FinetuneError::Setting {
            name: "--lr",
            detail: format!("{} is not above 0", settings.learning_rate),
        });
    }
    let size = settings.size.unwrap_or(manifest.preprocess.size());
    let view = Preprocess::center_crop(size)?;
    let (learned, held_out) = divide(images, validation, settings)?;
    let mut features = Features {
        view,
        settings,
        done: 0,
        images: learned.len() + held_out.len(),
        progress: &mut progress,
    };
    let lessons = features.lessons(model, &learned)?;
    let exams = features.exams(model, &held_out)?;
    let tensors = train(&lessons, settings, model.device(), &mut progress)?;
    let confusion = measure(&tensors, &exams, settings)?;
    if confusion.labelled() == 0 {
        return Err(nothing_labelled("images to measure with", settings));
    }
    let quality = HeadQuality {
        measured_on: match validation {
            Validation::Share(_) => format!("held out of {}", images.name()),
            Validation::Folder(folder) => folder.name(),
        },
        images: held_out.len() as u64,
        mean_iou: confusion.mean_iou(),
        class_iou: confusion.class_iou(),
        pixel_accuracy: confusion.accuracy(),
    };
    let entry = HeadEntry {
        kind: settings.kind,
        stage: settings.stage,
        size,
        classes: settings.classes.names().to_vec(),
        quality: Some(quality.clone()),
    };
    let update = ModelUpdate::new(model.directory())?;
    update.add_head(&settings.name, entry, &tensors, settings.existing)?;
    Ok(quality)
}

/// Images to learn from, and images to measure with.
fn divide(
    images: &LabelledFolder,
    validation: &Validation,
    settings: &FinetuneSettings,
) -> Result<(Vec<Pair>, Vec<Pair>), FinetuneError> {
    let mut learned = images.pairs(settings.skip_unlabelled)?;
    let share = match validation {
        Validation::Folder(folder) => {
            return Ok((learned, folder.pairs(settings.skip_unlabelled)?));
        }
        Validation::Share(share) if *share > 0.0 && *share < 1.0 => *share,
        Validation::Share(share) => {
            return Err(FinetuneError::Setting {
                name: "--validation-share",
                detail: format!("{share} is not between 0 and 1"),
            });
        }
    };
    shuffle(&mut learned, &mut stream(settings.seed, "validation", &[]));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "images are far fewer than 2^53"
    )]
    let count = ((learned.len() as f64 * share).round() as usize).max(1);
    if count >= learned.len() {
        let images = learned.len();
        return Err(FinetuneError::TooFew { images });
    }
    let held_out = learned.split_off(learned.len() - count);
    Ok((learned, held_out))
}

fn shuffle<T>(items: &mut [T], random: &mut rand_chacha::ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, random));
    }
}

/// Learns from the lessons; what is learned, as it is served.
fn train(
    lessons: &[Lesson],
    settings: &FinetuneSettings,
    device: Device,
    progress: &mut impl FnMut(Progress),
) -> Result<Tensors, FinetuneError> {
    let labelled = |lesson: &Lesson| lesson.labels.ge(0).any().int64_value(&[]) != 0;
    if !lessons.iter().any(labelled) {
        return Err(nothing_labelled("images to learn from", settings));
    }
    tch::manual_seed(settings.seed.cast_signed());
    let store = VarStore::new(device);
    let spread = Spread::of(lessons.iter().map(|lesson| &lesson.features));
    let classes = settings.classes.names().len();
    let head = TrainedHead::new(settings.kind, &spread, classes, &store);
    let rate = settings.learning_rate;
    let failed = |error: tch::TchError| FinetuneError::Setting {
        name: "--lr",
        detail: error.to_string(),
    };
    let mut optimizer = AdamW::default().build(&store, rate).map_err(failed)?;
    for epoch in 0..settings.epochs.get() {
        let batches = batches(lessons, settings, epoch);
        let count = batches.len();
        let mut sum = 0.0;
        for (place, batch) in batches.into_iter().enumerate() {
            let done = (f64::from(epoch) + share(place, count)) / f64::from(settings.epochs.get());
            optimizer.set_lr(rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()));
            let loss = loss(&head, &batch, device);
            optimizer.backward_step(&loss);
            sum += loss.double_value(&[]);
        }
        let (epoch, loss) = (epoch + 1, sum * share(1, count));
        if !loss.is_finite() {
            return Err(FinetuneError::Diverged { epoch, loss });
        }
        progress(Progress::Epoch { epoch, loss });
    }
    Ok(head.folded())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "batches are far fewer than 2^53"
)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The lessons of an epoch: each once, in batches of one size, in an order of its own.
fn batches<'a>(
    lessons: &'a [Lesson],
    settings: &FinetuneSettings,
    epoch: u32,
) -> Vec<Vec<&'a Lesson>> {
    let mut random = stream(settings.seed, "lessons", &[u64::from(epoch)]);
    let mut sizes: BTreeMap<Vec<i64>, Vec<&Lesson>> = BTreeMap::new();
    for lesson in lessons {
        sizes.entry(lesson.labels.size()).or_default().push(lesson);
    }
    let mut batches = Vec::new();
    for mut same in sizes.into_values() {
        shuffle(&mut same, &mut random);
        batches.extend(same.chunks(settings.batch.get()).map(<[_]>::to_vec));
    }
    shuffle(&mut batches, &mut random);
    batches
}

/// Cross-entropy over the labelled pixels of a batch, whose scores are interpolated to the size of its labels.
fn loss(head: &TrainedHead, batch: &[&Lesson], device: Device) -> Tensor {
    let stacked = |part: fn(&Lesson) -> &Tensor| {
        let parts: Vec<&Tensor> = batch.iter().map(|lesson| part(lesson)).collect();
        Tensor::stack(&parts, 0).to_device(device)
    };
    let labels = stacked(|lesson| &lesson.labels).to_kind(Kind::Int64);
    let known = labels.ge(0);
    let size = &labels.size()[1..];
    let scores = head.scores(&stacked(|lesson| &lesson.features));
    let scores = scores.upsample_bilinear2d(size, false, None, None);
    let none = None::<Tensor>;
    let labels = labels.masked_fill(&known.logical_not(), IGNORED);
    let sum = scores.cross_entropy_loss(&labels, none, Reduction::Sum, IGNORED, 0.0);
    sum / known.sum(Kind::Float).clamp_min(1.0)
}

/// Counts what the head, as it is served, makes of images that it did not learn from.
fn measure(
    tensors: &Tensors,
    exams: &[Exam],
    settings: &FinetuneSettings,
) -> Result<Confusion, FinetuneError> {
    let classes = settings.classes.names().len();
    let channels = exams.first().map_or(0, |exam| exam.features.shape()[0]);
    let head = SegmentationHead::from_tensors(settings.kind, tensors, channels, classes)?;
    let counts = exams.par_iter().map(|exam| {
        let (truth, shape) = (&exam.truth, exam.features.shape());
        let side = |axis: usize| u32::try_from(shape[axis]).unwrap_or(u32::MAX);
        let map = FeatureMap::new(exam.features.values(), shape[0], side(1), side(2))?;
        let found = head.logits(map)?.classes(truth.height(), truth.width())?;
        let mut confusion = Confusion::new(classes);
        confusion.add(truth, &found);
        Ok(confusion)
    });
    counts.try_reduce(
        || Confusion::new(classes),
        |sum, other| Ok(sum.with(&other)),
    )
}

fn nothing_labelled(what: &'static str, settings: &FinetuneSettings) -> FinetuneError {
    let ignored = settings.ignored;
    FinetuneError::NothingLabelled { what, ignored }
}
