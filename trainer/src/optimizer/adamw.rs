//! Adam with decoupled weight decay (Loshchilov and Hutter 2019).
//!
//! Source: `adamw` of optax 0.1.7: the decay is scaled by the learning rate, epsilon is outside the root.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::{Memory, Slot};

/// Settings of `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// Share of the weight that is added to each update.
    pub weight_decay: f64,
    /// Decays of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self {
            weight_decay: 1e-4,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
        }
    }
}

/// How first moments are called in a memory.
const FIRST: &str = "first.";
/// How second moments are.
const SECOND: &str = "second.";

/// What is remembered of a weight.
#[derive(Debug)]
struct Moments {
    first: Tensor,
    second: Tensor,
    updates: i32,
}

/// `AdamW` and its moments.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Starts with moments 0.
    #[must_use]
    pub const fn new(settings: AdamWSettings) -> Self {
        Self {
            settings,
            moments: BTreeMap::new(),
        }
    }

    pub(super) fn memory(&self) -> Memory {
        let moments = self.moments.iter();
        let both = moments.flat_map(|(name, of)| {
            let kept = |moment: &Tensor| (moment.copy(), i64::from(of.updates));
            [
                (format!("{FIRST}{name}"), kept(&of.first)),
                (format!("{SECOND}{name}"), kept(&of.second)),
            ]
        });
        both.collect()
    }

    pub(super) fn recall(&mut self, mut memory: Memory) {
        let names: Vec<String> = memory
            .keys()
            .filter_map(|key| key.strip_prefix(FIRST).map(str::to_owned))
            .collect();
        let moments = names.into_iter().filter_map(|name| {
            let (first, updates) = memory.remove(&format!("{FIRST}{name}"))?;
            let (second, _) = memory.remove(&format!("{SECOND}{name}"))?;
            let updates = i32::try_from(updates).ok()?;
            let moments = Moments {
                first,
                second,
                updates,
            };
            Some((name, moments))
        });
        self.moments = moments.collect();
    }

    pub(super) fn update(&mut self, slot: &mut Slot<'_>, learning_rate: f64) {
        let AdamWSettings {
            weight_decay,
            betas: [b1, b2],
            epsilon,
        } = self.settings;
        let fresh = || Moments {
            first: slot.gradient.zeros_like(),
            second: slot.gradient.zeros_like(),
            updates: 0,
        };
        no_grad(|| {
            let moments = self
                .moments
                .entry(slot.name.to_owned())
                .or_insert_with(fresh);
            moments.updates += 1;
            moments.first = &moments.first * b1 + slot.gradient * (1.0 - b1);
            moments.second = &moments.second * b2 + slot.gradient.square() * (1.0 - b2);
            let first = &moments.first / (1.0 - b1.powi(moments.updates));
            let second = &moments.second / (1.0 - b2.powi(moments.updates));
            let mut step = first / (second.sqrt() + epsilon);
            if slot.regularised {
                step += &*slot.weight * weight_decay;
            }
            let _ = slot.weight.g_sub_(&(step * learning_rate));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One weight under `AdamW` in plain float64.
    fn reference(weight: f64, gradients: &[f64], rate: f64, decay: f64) -> f64 {
        let (mut w, mut m, mut v) = (weight, 0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.999_f64.powi(t)));
            w -= rate * (m_hat / (v_hat.sqrt() + 1e-8) + decay * w);
        }
        w
    }

    #[test]
    fn updates_are_adams_with_decay_beside_the_moments() {
        let gradients = [0.3, -1.0, 0.0, 2.5];
        for (regularised, decay) in [(true, 0.1), (false, 0.0)] {
            let settings = AdamWSettings {
                weight_decay: 0.1,
                ..AdamWSettings::default()
            };
            let mut adamw = AdamW::new(settings);
            let mut weight = Tensor::from_slice(&[1.5_f64]);
            for gradient in gradients {
                let gradient = Tensor::from_slice(&[gradient]);
                let mut slot = Slot {
                    name: "w",
                    weight: &mut weight,
                    gradient: &gradient,
                    regularised,
                };
                adamw.update(&mut slot, 0.01);
            }
            let expected = reference(1.5, &gradients, 0.01, decay);
            assert!((weight.double_value(&[0]) - expected).abs() < 1e-12);
        }
    }
}
