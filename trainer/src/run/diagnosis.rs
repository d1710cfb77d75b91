//! Why a run stopped by itself, with the batch that it stopped at.
//!
//! ```text
//! RUN/diagnosis/STEP/rank0.safetensors    the views as the network saw them, mask ids, labels
//! RUN/diagnosis/STEP/rank0.json           what the step says about itself, and the tensors that are not finite
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::{Tensors, tensors_to_bytes};
use serde_json::json;
use tch::Tensor;

use super::RunError;
use crate::learner::{Batch, Gradients, Learner, Logs};
use crate::recipe::CollapseSettings;
use crate::tensor::to_core;

/// What is wrong with a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Illness {
    /// The loss is no number.
    Diverged {
        /// The loss.
        loss: f64,
    },
    /// All regions look the same to the network.
    Collapsed {
        /// Standard deviation of the features of unit projections.
        deviation: f64,
        /// Their effective rank.
        effective_rank: f64,
        /// For so many steps.
        steps: u64,
    },
}

impl std::fmt::Display for Illness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Diverged { loss } => {
                write!(
                    f,
                    "the loss is {loss}: lower base_learning_rate, or lengthen the warm-up"
                )
            }
            Self::Collapsed {
                deviation,
                effective_rank,
                steps,
            } => write!(
                f,
                "the projections have collapsed for {steps} steps (feature deviation {deviation:.2e}, effective rank \
                 {effective_rank:.2}): lower base_learning_rate, or raise target_decay"
            ),
        }
    }
}

/// Looks at every step for signs of an illness.
#[derive(Debug)]
pub(super) struct Physician {
    settings: CollapseSettings,
    /// Steps in a row that looked collapsed.
    steps: u64,
}

impl Physician {
    pub(super) const fn new(settings: CollapseSettings) -> Self {
        Self { settings, steps: 0 }
    }

    pub(super) fn illness(&mut self, logs: &Logs) -> Option<Illness> {
        if !logs.loss.is_finite() {
            return Some(Illness::Diverged { loss: logs.loss });
        }
        let spread = logs.projections?;
        let (deviation, effective_rank) = (spread.normalized_deviation, spread.effective_rank);
        let collapsed =
            deviation < self.settings.deviation || effective_rank < self.settings.effective_rank;
        self.steps = if collapsed { self.steps + 1 } else { 0 };
        (self.settings.steps > 0 && self.steps >= self.settings.steps).then_some(
            Illness::Collapsed {
                deviation,
                effective_rank,
                steps: self.steps,
            },
        )
    }
}

/// What a run stopped at.
pub(super) struct Diagnosis<'a> {
    pub(super) learner: &'a Learner,
    pub(super) batch: &'a Batch,
    pub(super) gradients: &'a Gradients,
    pub(super) logs: &'a Logs,
    pub(super) illness: Illness,
}

impl Diagnosis<'_> {
    /// Writes it down for a rank; gives the folder.
    pub(super) fn save(&self, run: &Path, rank: usize) -> Result<PathBuf, RunError> {
        let step = self.learner.step_number();
        let folder = run.join("diagnosis").join(format!("{step:08}"));
        let put = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|cause| RunError::file(&path, cause))
        };
        fs::create_dir_all(&folder).map_err(|cause| RunError::file(&folder, cause))?;
        put(
            format!("rank{rank}.safetensors"),
            &tensors_to_bytes(&self.tensors())?,
        )?;
        let about = json!({
            "step": step,
            "illness": self.illness.to_string(),
            "logs": self.logs,
            "not_finite": self.not_finite(),
        });
        let about = serde_json::to_vec_pretty(&about).unwrap_or_default();
        put(format!("rank{rank}.json"), &about)?;
        Ok(folder)
    }

    fn tensors(&self) -> Tensors {
        let mut tensors = BTreeMap::from([("labels".to_owned(), to_core(&self.batch.labels))]);
        for (number, view) in (1..).zip(&self.batch.views) {
            tensors.insert(format!("view{number}.images"), to_core(&view.images));
            tensors.insert(format!("view{number}.ids"), to_core(view.regions.ids()));
        }
        tensors
    }

    /// Names of what holds an infinity or no number.
    fn not_finite(&self) -> Vec<String> {
        let weights = self.learner.online().weights().iter();
        let weights = weights.map(|(name, weight)| (format!("weight {name}"), weight));
        let gradients = self.gradients.iter();
        let gradients = gradients.map(|(name, gradient)| (format!("gradient {name}"), gradient));
        let images = (1..).zip(&self.batch.views);
        let images =
            images.map(|(number, view)| (format!("images of view {number}"), &view.images));
        let broken = |tensor: &Tensor| tensor.detach().isfinite().all().int64_value(&[]) == 0;
        let all = images.chain(weights).chain(gradients);
        all.filter(|(_, tensor)| broken(tensor))
            .map(|(name, _)| name)
            .collect()
    }
}
