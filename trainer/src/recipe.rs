//! What a run is: every setting of it, in TOML. An unknown key is an error, a missing one has its default.
//!
//! The defaults are upstream's `ImageNet` run of 1000 epochs; `recipes/imagenet-1000.toml` lists each key with it.

use std::path::Path;

use detcon_core::arch::{Padding, ResNetSpec};
use serde::{Deserialize, Serialize};
use tch::Device;
use toml::Table;

use crate::augment::ViewSettings;
use crate::learner::{Learner, LearnerSettings, Precision, TrainingMode};
use crate::masks::{MaskSource, Segmentation};
use crate::network::{HeadSpec, Network, Predictor};
use crate::objective::{LocalNegatives, LossSettings};
use crate::optimizer::{AdamW, AdamWSettings, Lars, LarsSettings, Optimizer};
use crate::random::split;
use crate::schedule::{LearningRate, TargetDecay};

mod check;
mod error;
mod overrides;
mod span;

pub use self::error::RecipeError;
pub use self::span::Span;

/// Which of the paper's two objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// A predictor, and a target that follows slowly (as BYOL).
    #[serde(rename = "detcon-b")]
    DetConB,
    /// One network (as `SimCLR`).
    #[serde(rename = "detcon-s")]
    DetConS,
}

impl Method {
    /// As recipes and manifests call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DetConB => "detcon-b",
            Self::DetConS => "detcon-s",
        }
    }
}

/// A backbone by its name: `resnet50`, `resnet50x2`, `resnet18`, `tiny` …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arch(pub ResNetSpec);

impl TryFrom<String> for Arch {
    type Error = detcon_core::arch::SpecError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse().map(Self)
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> Self {
        arch.0.to_string()
    }
}

/// Sizes of the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSizes {
    /// Width of the hidden layers of projector and predictor.
    pub hidden: usize,
    /// Length of a projection.
    pub projection: usize,
    /// Classes of the classifier that only observes.
    pub classes: usize,
}

/// What updates the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerSettings {
    /// Layer-wise adaptive rates, as upstream trains.
    Lars(LarsSettings),
    /// `AdamW`.
    AdamW(AdamWSettings),
}

/// The part of an image that a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropSettings {
    /// Smallest and largest share of the image's area.
    pub area: [f64; 2],
    /// Smallest and largest width ÷ height.
    pub aspect: [f64; 2],
}

/// How the target of DetCon-B starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetStart {
    /// With weights of its own, from a random stream of its own: `_make_initial_state` of upstream's `detcon_b.py`.
    Own,
    /// As a copy of the online network. Upstream remarks there that one stream for both made no significant difference.
    Copy,
}

/// How the objects of annotations become regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectMasks {
    /// Drawn into one map, the later over the earlier.
    Flat,
    /// Each for itself: cells may belong to several. Of an image's objects the first sixteen.
    Overlapping,
}

/// Which masks are used, and how they are made of images that come without: Felzenszwalb's segments. Shards and
/// annotations bring theirs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskRecipe {
    /// Larger values make larger segments.
    pub scale: f64,
    /// Standard deviation of the blur before, in pixels.
    pub sigma: f64,
    /// Smallest segment, in pixels.
    pub min_size: u32,
    /// Which of the masks that shards store for an image, from 0 (upstream: `fh_mask_to_use`).
    pub stored: usize,
    /// How the objects of annotations become regions.
    pub objects: ObjectMasks,
}

impl From<MaskRecipe> for MaskSource {
    fn from(recipe: MaskRecipe) -> Self {
        Self::Felzenszwalb {
            segmentations: vec![Segmentation {
                scale: recipe.scale,
                sigma: recipe.sigma,
                min_size: recipe.min_size,
            }],
        }
    }
}

/// When a run counts as collapsed: both are of the online projections of the first view, brought to unit length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollapseSettings {
    /// Below this standard deviation of the features (a healthy run has nearly `1/√projection`).
    pub deviation: f64,
    /// Below this effective rank.
    pub effective_rank: f64,
    /// For so many steps in a row.
    pub steps: u64,
}

/// The settings of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The objective.
    pub method: Method,
    /// What teaches the backbone.
    pub training_mode: TrainingMode,
    /// The backbone, padding aside.
    pub arch: Arch,
    /// Where it pads: `same`, as the published code, or `symmetric`, as PyTorch's networks and so Detectron2's.
    pub padding: Padding,
    /// Seed of the initial weights and of everything that is drawn.
    pub seed: u64,
    /// Images of a step.
    pub batch: u64,
    /// Parts that a rank takes its share of a batch in, one after the other, where all of it does not fit the device.
    pub parts: u32,
    /// What networks compute in.
    pub precision: Precision,
    /// Side of a view in pixels.
    pub image_size: u32,
    /// Regions drawn from each view, with replacement.
    pub mask_samples: usize,
    /// Rate for a batch of 256.
    pub base_learning_rate: f64,
    /// Whether the rate grows with the batch.
    pub scale_by_batch: bool,
    /// How the target starts. DetCon-S has no target.
    pub target_start: TargetStart,
    /// What the target keeps of itself in the first step; it goes to 1.
    pub target_decay: f64,
    /// Length of the run.
    pub duration: Span,
    /// Length of the warm-up in it.
    pub warmup: Span,
    /// Sizes of the heads.
    pub heads: HeadSizes,
    /// The contrastive loss.
    pub loss: LossSettings,
    /// What updates the weights.
    pub optimizer: OptimizerSettings,
    /// When a run counts as collapsed, and stops.
    pub collapse: CollapseSettings,
    /// How masks are made of images that come without.
    pub masks: MaskRecipe,
    /// The part of an image that a view shows.
    pub crop: CropSettings,
    /// Colours of the first view.
    pub first_view: ViewSettings,
    /// Colours of the second view.
    pub second_view: ViewSettings,
}

impl Default for Recipe {
    fn default() -> Self {
        let [first_view, second_view] = ViewSettings::UPSTREAM;
        Self {
            method: Method::DetConB,
            training_mode: TrainingMode::SelfSupervised,
            arch: Arch("resnet50".parse().expect("a name of the table")),
            padding: Padding::Same,
            seed: 0,
            batch: 4096,
            parts: 1,
            precision: Precision::Float32,
            image_size: 224,
            mask_samples: 16,
            base_learning_rate: 0.2,
            scale_by_batch: true,
            target_start: TargetStart::Own,
            target_decay: 0.996,
            duration: Span::Epochs(1000.0),
            warmup: Span::Epochs(10.0),
            heads: HeadSizes {
                hidden: 4096,
                projection: 256,
                classes: 1000,
            },
            loss: LossSettings {
                temperature: 0.1,
                local_negatives: LocalNegatives::Included,
            },
            optimizer: OptimizerSettings::Lars(LarsSettings {
                weight_decay: 1.5e-6,
                momentum: 0.9,
                eta: 1e-3,
            }),
            collapse: CollapseSettings {
                deviation: 1e-4,
                effective_rank: 1.05,
                steps: 100,
            },
            masks: MaskRecipe {
                scale: 1000.0,
                sigma: 0.8,
                min_size: 1000,
                stored: 0,
                objects: ObjectMasks::Flat,
            },
            crop: CropSettings {
                area: [0.08, 1.0],
                aspect: [3.0 / 4.0, 4.0 / 3.0],
            },
            first_view,
            second_view,
        }
    }
}

impl Recipe {
    /// Reads a recipe, with `KEY=VALUE` in place of what it says (`loss.temperature=0.2`).
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, RecipeError> {
        let table: Table = toml::from_str(text).map_err(|error| RecipeError::toml(&error))?;
        let mut whole = Table::try_from(Self::default()).map_err(RecipeError::unwritten)?;
        overrides::merge(&mut whole, table);
        for assignment in overrides {
            overrides::apply(&mut whole, assignment)?;
        }
        let recipe: Self = whole
            .try_into()
            .map_err(|error| RecipeError::toml(&error))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Reads a recipe's file.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Open {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, overrides)
    }

    /// The recipe with every key.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(RecipeError::unwritten)
    }

    /// Refuses a warm-up that is longer than the run, now that the number of images says what an epoch is.
    pub fn check_on(&self, images: u64) -> Result<(), RecipeError> {
        let [warmup, steps] = [self.warmup, self.duration].map(|it| it.steps(images, self.batch));
        if warmup <= steps {
            return Ok(());
        }
        Err(RecipeError::Warmup { warmup, steps })
    }

    /// Steps of the run on a data set of so many images.
    #[must_use]
    pub fn steps(&self, images: u64) -> u64 {
        self.duration.steps(images, self.batch)
    }

    /// The schedules and the loss on a data set of so many images.
    #[must_use]
    pub fn learner_settings(&self, images: u64) -> LearnerSettings {
        let max_steps = self.steps(images);
        LearnerSettings {
            mode: self.training_mode,
            loss: self.loss,
            learning_rate: LearningRate {
                base: self.base_learning_rate,
                batch: if self.scale_by_batch {
                    self.batch
                } else {
                    LearningRate::BASE_BATCH
                },
                warmup_steps: self.warmup.steps(images, self.batch),
                max_steps,
            },
            target_decay: TargetDecay {
                base: self.target_decay,
                max_steps,
            },
            parts: i64::from(self.parts),
            precision: self.precision,
        }
    }

    /// The backbone.
    #[must_use]
    pub fn spec(&self) -> ResNetSpec {
        self.arch.0.with_padding(self.padding)
    }

    /// The heads of its network.
    #[must_use]
    pub const fn heads(&self) -> HeadSpec {
        HeadSpec {
            hidden: self.heads.hidden,
            projection: self.heads.projection,
            classes: self.heads.classes,
            predictor: match self.method {
                Method::DetConB => Predictor::Present,
                Method::DetConS => Predictor::Absent,
            },
        }
    }

    /// The run before its first step, on a data set of so many images.
    #[must_use]
    pub fn learner(&self, images: u64, device: Device) -> Learner {
        let network = Network::new(self.spec(), self.heads(), self.seed, device);
        let optimizer = match self.optimizer {
            OptimizerSettings::Lars(settings) => Optimizer::Lars(Lars::new(settings)),
            OptimizerSettings::AdamW(settings) => Optimizer::AdamW(AdamW::new(settings)),
        };
        let target = self.target(device);
        Learner::new(self.learner_settings(images), network, target, optimizer)
    }

    /// The target before the first step, where it is no copy of the online network.
    fn target(&self, device: Device) -> Option<Network> {
        match (self.method, self.target_start) {
            (Method::DetConB, TargetStart::Own) => {
                let seed = split(self.seed, "target");
                Some(Network::new(self.spec(), self.heads(), seed, device))
            }
            (Method::DetConB, TargetStart::Copy) | (Method::DetConS, _) => None,
        }
    }
}
