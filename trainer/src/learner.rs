//! A step of DetCon: two views in, losses and gradients, new weights, and the target that follows.
//!
//! Source: `loss_fn` and `_update_fn` of the published `detcon_b.py` (as BYOL's `byol_experiment.py`).

use std::collections::BTreeMap;

use tch::{Reduction, Tensor, no_grad};

use crate::network::{HeadSpec, Mode, Network, Predictor};
use crate::objective::{LossSettings, RegionVectors, Regions, detcon_loss};
use crate::optimizer::{Optimizer, Slot};
use crate::schedule::{LearningRate, TargetDecay};

mod logs;
mod state;

pub use self::logs::{Logs, Spread};
pub use self::state::{Kept, State};

/// The label of an image that has none: it does not count in the classifier's loss.
pub const NO_LABEL: i64 = -1;

/// One augmented view of a batch.
#[derive(Debug)]
pub struct View {
    /// float32 `[N, 3, H, W]`, RGB in [0, 1].
    pub images: Tensor,
    /// The regions that were drawn. Online and target use the same.
    pub regions: Regions,
}

/// What a step learns from.
#[derive(Debug)]
pub struct Batch {
    /// Two views of the same images.
    pub views: [View; 2],
    /// Classes, int64 `[N]`, or [`NO_LABEL`].
    pub labels: Tensor,
}

/// What decides a run's steps beside its networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnerSettings {
    /// The contrastive loss.
    pub loss: LossSettings,
    /// The rate of each step.
    pub learning_rate: LearningRate,
    /// How slowly the target follows. DetCon-S has no target.
    pub target_decay: TargetDecay,
}

/// Whom the online network's predictions are compared with.
#[derive(Debug)]
enum Teacher {
    /// DetCon-B: a network that follows slowly.
    Target(Box<Network>),
    /// DetCon-S: the online network itself, through which gradients flow on both sides.
    Itself,
}

/// Gradients by the names of the weights.
pub type Gradients = BTreeMap<String, Tensor>;

/// A run between two steps.
#[derive(Debug)]
pub struct Learner {
    settings: LearnerSettings,
    online: Network,
    teacher: Teacher,
    optimizer: Optimizer,
    step: u64,
}

impl Learner {
    /// Starts from `online`. Where its heads have a predictor (DetCon-B) the target starts as `target`, or else as
    /// what `online` is.
    #[must_use]
    pub fn new(
        settings: LearnerSettings,
        online: Network,
        target: Option<Network>,
        optimizer: Optimizer,
    ) -> Self {
        let teacher = match online.heads().predictor {
            Predictor::Present => {
                Teacher::Target(Box::new(target.unwrap_or_else(|| online.copy())))
            }
            Predictor::Absent => Teacher::Itself,
        };
        Self {
            settings,
            online: online.differentiable(),
            teacher,
            optimizer,
            step: 0,
        }
    }

    /// Goes on at a step instead of the first.
    #[must_use]
    pub const fn at_step(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The number of the next step, from 0.
    #[must_use]
    pub const fn step_number(&self) -> u64 {
        self.step
    }

    /// The network that learns.
    #[must_use]
    pub const fn online(&self) -> &Network {
        &self.online
    }

    /// The network that follows, in DetCon-B.
    #[must_use]
    pub const fn target(&self) -> Option<&Network> {
        match &self.teacher {
            Teacher::Target(target) => Some(target),
            Teacher::Itself => None,
        }
    }

    /// One whole step.
    pub fn step(&mut self, batch: &Batch) -> Logs {
        let (gradients, logs) = self.gradients(batch);
        self.update(&gradients);
        logs
    }

    /// The losses of a batch and their gradients. It moves the moving averages of all batch norms, and nothing else.
    pub fn gradients(&mut self, batch: &Batch) -> (Gradients, Logs) {
        let outputs = [0, 1].map(|view| Outputs::of(&mut self.online, &batch.views[view]));
        let contrast = self.contrast(&outputs, batch);
        let classification = classification(&outputs[0].logits, &batch.labels);
        let loss = &contrast + &classification;
        let weights = self.online.weights();
        let tensors: Vec<&Tensor> = weights.values().collect();
        let gradients = Tensor::run_backward(&[&loss], &tensors, false, false);
        let gradients = weights.keys().cloned().zip(gradients).collect();
        let report = Logs {
            loss: loss.double_value(&[]),
            contrast: contrast.double_value(&[]),
            classification: classification.double_value(&[]),
            projections: Spread::of(&outputs[0].projections),
            predictions: Spread::of(&outputs[0].predictions),
            learning_rate: self.settings.learning_rate.at(self.step),
            target_decay: self.settings.target_decay.at(self.step),
        };
        (gradients, report)
    }

    fn contrast(&mut self, outputs: &[Outputs; 2], batch: &Batch) -> Tensor {
        let projections = match &mut self.teacher {
            Teacher::Target(target) => {
                no_grad(|| [0, 1].map(|view| Outputs::of(target, &batch.views[view]).projections))
            }
            Teacher::Itself => [0, 1].map(|view: usize| outputs[view].projections.shallow_clone()),
        };
        let [first, second] = outputs;
        let predictions = region_vectors([&first.predictions, &second.predictions], batch);
        let targets = region_vectors([&projections[0], &projections[1]], batch);
        detcon_loss(predictions, targets, self.settings.loss)
    }

    /// Updates the weights by their gradients, then moves the target.
    ///
    /// # Panics
    /// Where a gradient is missing.
    pub fn update(&mut self, gradients: &Gradients) {
        let rate = self.settings.learning_rate.at(self.step);
        let decay = self.settings.target_decay.at(self.step);
        let optimizer = &mut self.optimizer;
        self.online.update(|name, weight, regularised| {
            let gradient = &gradients[name];
            optimizer.update(
                &mut Slot {
                    name,
                    weight,
                    gradient,
                    regularised,
                },
                rate,
            );
        });
        if let Teacher::Target(target) = &mut self.teacher {
            target.follow(&self.online, decay);
        }
        self.step += 1;
    }
}

/// Vectors of both views with the ids of their regions.
fn region_vectors<'a>(vectors: [&'a Tensor; 2], batch: &'a Batch) -> [RegionVectors<'a>; 2] {
    let views = [0, 1];
    views.map(|view: usize| RegionVectors {
        vectors: vectors[view],
        ids: batch.views[view].regions.ids(),
    })
}

/// What a network makes of one view.
struct Outputs {
    projections: Tensor,
    predictions: Tensor,
    logits: Tensor,
}

impl Outputs {
    fn of(network: &mut Network, view: &View) -> Self {
        let (spec, HeadSpec { predictor, .. }) = (network.spec(), network.heads());
        let mut pass = network.pass(Mode::Train);
        let features = pass.backbone(spec, &view.images);
        let projections = pass.project(&view.regions.pool(&features));
        let predictions = match predictor {
            Predictor::Present => pass.predict(&projections),
            Predictor::Absent => projections.shallow_clone(),
        };
        let embeddings = features.mean_dim([2, 3].as_slice(), false, None);
        let logits = pass.classify(&embeddings);
        Self {
            projections,
            predictions,
            logits,
        }
    }
}

/// Mean cross entropy over the batch; images without a label count 0.
fn classification(logits: &Tensor, labels: &Tensor) -> Tensor {
    let images = labels.size()[0];
    let none = None::<Tensor>;
    logits.cross_entropy_loss(labels, none, Reduction::Sum, NO_LABEL, 0.0) / images
}
