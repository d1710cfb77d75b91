//! Layer-wise adaptive rates (You et al. 2017).
//!
//! Source: BYOL's `utils/optimizers.py` (`lars`, `scale_by_lars`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::{Memory, Slot};

/// Settings of LARS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LarsSettings {
    /// Share of the weight that is added to its gradient (upstream: 1.5e-6).
    pub weight_decay: f64,
    /// Share of the last update in the next (upstream: 0.9).
    pub momentum: f64,
    /// Length of an update as a share of the weight's, at a rate of 1 (upstream: 1e-3).
    pub eta: f64,
}

/// LARS and its momentum.
#[derive(Debug)]
pub struct Lars {
    settings: LarsSettings,
    momentum: BTreeMap<String, Tensor>,
}

impl Lars {
    /// Starts with momentum 0.
    #[must_use]
    pub const fn new(settings: LarsSettings) -> Self {
        Self {
            settings,
            momentum: BTreeMap::new(),
        }
    }

    pub(super) fn memory(&self) -> Memory {
        let momentum = self.momentum.iter();
        momentum
            .map(|(name, momentum)| (name.clone(), (momentum.copy(), 0)))
            .collect()
    }

    pub(super) fn recall(&mut self, memory: Memory) {
        let memory = memory.into_iter();
        self.momentum = memory
            .map(|(name, (momentum, _))| (name, momentum))
            .collect();
    }

    pub(super) fn update(&mut self, slot: &mut Slot<'_>, learning_rate: f64) {
        let LarsSettings {
            weight_decay,
            momentum,
            eta,
        } = self.settings;
        no_grad(|| {
            let step = if slot.regularised {
                let decayed = slot.gradient + &*slot.weight * weight_decay;
                let factor = adaptation(slot.weight, &decayed, eta);
                decayed * factor
            } else {
                slot.gradient.copy()
            };
            let update = match self.momentum.get_mut(slot.name) {
                Some(update) => {
                    let _ = update.g_mul_scalar_(momentum);
                    let _ = update.g_add_(&step);
                    update
                }
                None => self.momentum.entry(slot.name.to_owned()).or_insert(step),
            };
            let _ = slot.weight.g_sub_(&(&*update * learning_rate));
        });
    }
}

/// `eta·|weight|/|update|`, or 1 where either is 0. It stays on the device.
fn adaptation(weight: &Tensor, update: &Tensor, eta: f64) -> Tensor {
    let (weight, update) = (weight.norm(), update.norm());
    let ratio = &weight / &update * eta;
    let usable = weight.gt(0.0).logical_and(&update.gt(0.0));
    ratio.where_self(&usable, &weight.ones_like())
}
