//! What changes with the step: the learning rate, and how slowly the target follows.
//!
//! Source: BYOL's `utils/schedules.py`, which the published code uses.

use std::f64::consts::PI;

/// Linear warm-up, then a half cosine to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// Rate for a batch of 256.
    pub base: f64,
    /// Samples of a step, over all replicas.
    pub batch: u64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub max_steps: u64,
}

impl LearningRate {
    /// Samples for which a base learning rate is meant: it grows with the batch (Goyal et al. 2017), or does not where
    /// the batch is said to be this (`lr_schedule` of upstream's `pretrain_common.py`).
    pub const BASE_BATCH: u64 = 256;

    /// The rate of a step, from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let scaled = self.base * float(self.batch) / float(Self::BASE_BATCH);
        if step < self.warmup_steps {
            return scaled * float(step) / float(self.warmup_steps);
        }
        let decaying = self.max_steps.saturating_sub(self.warmup_steps);
        scaled * half_cosine(step - self.warmup_steps, decaying)
    }
}

/// How much of itself the target keeps in a step: from a base up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetDecay {
    /// Its value at the first step (upstream: 0.996).
    pub base: f64,
    /// Steps of the run.
    pub max_steps: u64,
}

impl TargetDecay {
    /// The decay of a step, from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        1.0 - (1.0 - self.base) * half_cosine(step, self.max_steps)
    }
}

/// From 1 at step 0 to 0 at `steps` and after.
fn half_cosine(step: u64, steps: u64) -> f64 {
    if step >= steps {
        return 0.0;
    }
    0.5 * (1.0 + (PI * float(step) / float(steps)).cos())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "steps and batches are below 2^52"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: LearningRate = LearningRate {
        base: 0.2,
        batch: 512,
        warmup_steps: 10,
        max_steps: 110,
    };

    #[test]
    fn the_rate_climbs_then_falls_to_0() {
        for (step, rate) in [
            (0, 0.0),
            (5, 0.2),
            (10, 0.4),
            (60, 0.2),
            (110, 0.0),
            (200, 0.0),
        ] {
            assert!(
                (RATE.at(step) - rate).abs() < 1e-12,
                "step {step}: {}",
                RATE.at(step)
            );
        }
    }

    #[test]
    fn a_run_of_warm_up_alone_never_divides_by_0() {
        let rate = LearningRate {
            max_steps: 10,
            ..RATE
        };
        assert!((rate.at(9) - 0.36).abs() < 1e-12);
        assert!(rate.at(10).abs() < 1e-12);
    }
}
