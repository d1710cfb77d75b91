//! A step of DetCon: two views in, losses and gradients, new weights, and the target that follows.
//!
//! Source: `loss_fn` and `_update_fn` of the published `detcon_b.py` (as BYOL's `byol_experiment.py`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Reduction, Tensor, no_grad};

use crate::distributed::{DistributedError, Group};
use crate::network::{Network, NetworkError, Predictor, serves_contrast};
use crate::objective::{Bounds, LossSettings, RegionVectors, Regions, bounds, detcon_loss};
use crate::optimizer::{Optimizer, Slot};
use crate::schedule::{LearningRate, TargetDecay};
use crate::tensor::axis;

mod logs;
mod outputs;
mod state;

use self::logs::{Losses, Means};
use self::outputs::Outputs;

pub use self::logs::{Logs, Spread};
pub use self::outputs::{Precision, TrainingMode};
pub(crate) use self::state::part;
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

impl Batch {
    /// The batch on a device.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            views: self.views.each_ref().map(|view| View {
                images: view.images.to_device(device),
                regions: view.regions.to_device(device),
            }),
            labels: self.labels.to_device(device),
        }
    }

    /// The batch in so many equal parts.
    ///
    /// # Panics
    /// Where it cannot be divided.
    fn parts(&self, count: i64) -> Vec<Self> {
        let images = self.labels.size()[0];
        assert_eq!(images % count, 0, "a batch of {images} in {count} parts");
        let length = images / count;
        let part = |first: i64| Self {
            views: [0, 1].map(|view: usize| View {
                images: self.views[view].images.narrow(0, first, length),
                regions: self.views[view].regions.part(first, length),
            }),
            labels: self.labels.narrow(0, first, length),
        };
        (0..count).map(|number| part(number * length)).collect()
    }
}

/// What decides a run's steps beside its networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnerSettings {
    /// What teaches the backbone.
    pub mode: TrainingMode,
    /// The contrastive loss.
    pub loss: LossSettings,
    /// The rate of each step.
    pub learning_rate: LearningRate,
    /// How slowly the target follows. DetCon-S has no target.
    pub target_decay: TargetDecay,
    /// Parts that a batch is taken in, one after the other: each has its own batch statistics and negatives, and their
    /// gradients are averaged.
    pub parts: i64,
    /// What networks compute in.
    pub precision: Precision,
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
    group: Option<Arc<Group>>,
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
            group: None,
            step: 0,
        }
    }

    /// Learns together with the other ranks of a group, each on its share of the batch: batch norms, negatives and
    /// gradients are those of all.
    #[must_use]
    pub fn among(mut self, group: Arc<Group>) -> Self {
        self.online = self.online.among(Some(Arc::clone(&group)));
        if let Teacher::Target(target) = self.teacher {
            let target = target.among(Some(Arc::clone(&group)));
            self.teacher = Teacher::Target(Box::new(target));
        }
        self.group = Some(group);
        self
    }

    /// Starts from other weights: `load` puts them in place of the online network's, and the target is its copy.
    pub(crate) fn started_from(
        mut self,
        load: impl FnOnce(&mut Network) -> Result<(), NetworkError>,
    ) -> Result<Self, NetworkError> {
        let mut online = self.online.copy();
        load(&mut online)?;
        if let Teacher::Target(target) = &mut self.teacher {
            **target = online.copy();
        }
        self.online = online.differentiable();
        Ok(self)
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

    /// One whole step. It fails where another rank is gone.
    pub fn step(&mut self, batch: &Batch) -> Result<Logs, DistributedError> {
        let (gradients, logs) = self.gradients(batch)?;
        self.update(&gradients);
        Ok(logs)
    }

    /// The losses of a batch and their gradients, over all ranks. It moves the moving averages of all batch norms, and
    /// nothing else.
    pub fn gradients(&mut self, batch: &Batch) -> Result<(Gradients, Logs), DistributedError> {
        let parts = batch.parts(self.settings.parts);
        let mut means = Means::default();
        let mut sum = Vec::new();
        for part in &parts {
            let loss = self.part_loss(part, &mut means);
            let tensors: Vec<&Tensor> = self.learned().map(|(_, weight)| weight).collect();
            let gradients = Tensor::run_backward(&[&loss], &tensors, false, false);
            if sum.is_empty() {
                sum = gradients;
            } else {
                for (sum, gradient) in sum.iter_mut().zip(gradients) {
                    *sum += gradient;
                }
            }
        }
        if parts.len() > 1 {
            let share = 1.0 / axis_f64(parts.len());
            for sum in &mut sum {
                *sum *= share;
            }
        }
        if let Some(group) = &self.group {
            group.average(&mut sum);
        }
        let logs = means.over(self.group.as_deref());
        if let Some(group) = &self.group {
            group.check()?;
        }
        let rate = self.settings.learning_rate.at(self.step);
        let logs = Logs::new(&logs, rate, self.settings.target_decay.at(self.step));
        let names = self.learned().map(|(name, _)| name.clone());
        Ok((names.zip(sum).collect(), logs))
    }

    /// The weights that the loss depends on.
    fn learned(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        let contrast = match self.settings.mode {
            TrainingMode::SelfSupervised | TrainingMode::Both => true,
            TrainingMode::Supervised => false,
        };
        let weights = self.online.weights().iter();
        weights.filter(move |(name, _)| contrast || !serves_contrast(name))
    }

    /// The loss of a batch, to be differentiated: the first half of [`gradients`](Self::gradients).
    pub fn loss(&mut self, batch: &Batch) -> Tensor {
        self.part_loss(batch, &mut Means::default())
    }

    /// The loss of one part, of which `means` takes note.
    fn part_loss(&mut self, batch: &Batch, means: &mut Means) -> Tensor {
        let LearnerSettings {
            mode, precision, ..
        } = self.settings;
        let outputs = batch.views.each_ref();
        let outputs = outputs.map(|view| Outputs::of(&mut self.online, view, mode, precision));
        let contrast = self.contrast(&outputs, batch);
        let classification = classification(&outputs[0].logits, &batch.labels);
        let losses = Losses {
            contrast: contrast.as_ref(),
            classification: &classification,
        };
        means.add(&losses, &outputs[0]);
        match contrast {
            Some(contrast) => contrast.loss + classification,
            None => classification,
        }
    }

    /// The contrastive loss and its bounds, where the mode has one. The target's moving averages move in any.
    fn contrast(&mut self, outputs: &[Outputs; 2], batch: &Batch) -> Option<Contrast> {
        let LearnerSettings {
            mode, precision, ..
        } = self.settings;
        let of_views = match &mut self.teacher {
            Teacher::Target(target) => Some(no_grad(|| {
                let views = batch.views.each_ref();
                views.map(|view| Outputs::of(target, view, mode, precision))
            })),
            Teacher::Itself => None,
        };
        let [Some(first), Some(second)] = outputs.each_ref().map(|of| of.regions.as_ref()) else {
            return None;
        };
        let [one, other] = of_views.as_ref().unwrap_or(outputs);
        let targets = [one.regions.as_ref()?, other.regions.as_ref()?];
        let mut targets = targets.map(|of| of.projections.shallow_clone());
        let mut own = 0;
        if let Some(group) = &self.group {
            own = axis(group.share().rank()) * batch.labels.size()[0];
            targets = targets.map(|projections| group.gather(&projections));
        }
        let settings = self.settings.loss;
        let predictions = region_vectors([&first.predictions, &second.predictions], batch);
        let all = targets[0].size()[0] * targets[0].size()[1];
        let ids = batch.views.each_ref().map(|view| view.regions.ids());
        let targets = region_vectors(targets.each_ref(), batch);
        Some(Contrast {
            loss: detcon_loss(predictions, targets, own, settings),
            bounds: bounds(ids, all, settings.local_negatives),
        })
    }

    /// Updates the weights that have gradients by them, then moves the target.
    pub fn update(&mut self, gradients: &Gradients) {
        let rate = self.settings.learning_rate.at(self.step);
        let decay = self.settings.target_decay.at(self.step);
        let optimizer = &mut self.optimizer;
        self.online.update(|name, weight, regularised| {
            let Some(gradient) = gradients.get(name) else {
                return; // the mode does not teach it
            };
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

/// The contrastive loss of a batch, and between what it lies.
struct Contrast {
    loss: Tensor,
    bounds: Bounds,
}

/// Vectors of both views with the ids of their regions.
fn region_vectors<'a>(vectors: [&'a Tensor; 2], batch: &'a Batch) -> [RegionVectors<'a>; 2] {
    let views = [0, 1];
    views.map(|view: usize| RegionVectors {
        vectors: vectors[view],
        ids: batch.views[view].regions.ids(),
    })
}

/// Mean cross entropy over the batch; images without a label count 0.
fn classification(logits: &Tensor, labels: &Tensor) -> Tensor {
    let images = labels.size()[0];
    let none = None::<Tensor>;
    logits.cross_entropy_loss(labels, none, Reduction::Sum, NO_LABEL, 0.0) / images
}

#[expect(clippy::cast_precision_loss, reason = "batches have few parts")]
const fn axis_f64(count: usize) -> f64 {
    count as f64
}
