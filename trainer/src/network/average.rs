//! A batch norm's moving average, as haiku keeps it.

use tch::{Device, Kind, Tensor, no_grad};

use crate::tensor::axis;

/// Updates after which an average of unknown age counts as settled: no decay in use leaves a bias by then.
const SETTLED: i64 = 1_000_000;

/// A zero-debiased exponential moving average.
///
/// `hidden` starts at 0 and moves by `hidden·decay + value·(1 - decay)`; the average is `hidden / (1 - decay^updates)`,
/// so that the start at 0 leaves no trace. Source: `ExponentialMovingAverage` of dm-haiku 0.0.11.
#[derive(Debug)]
pub struct MovingAverage {
    hidden: Tensor,
    updates: i64,
}

impl MovingAverage {
    /// An average of nothing yet.
    #[must_use]
    pub fn new(shape: &[usize], device: Device) -> Self {
        let shape: Vec<i64> = shape.iter().map(|&length| axis(length)).collect();
        Self {
            hidden: Tensor::zeros(shape, (Kind::Float, device)),
            updates: 0,
        }
    }

    /// An average in the midst of training: `hidden` after so many `updates`.
    #[must_use]
    pub const fn resumed(hidden: Tensor, updates: i64) -> Self {
        Self { hidden, updates }
    }

    /// An average of which only the value is known, as in a published checkpoint: it goes on as one of great age.
    #[must_use]
    pub const fn settled(average: Tensor) -> Self {
        Self::resumed(average, SETTLED)
    }

    /// The biased sum that is kept.
    pub const fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// How often it was updated.
    #[must_use]
    pub const fn updates(&self) -> i64 {
        self.updates
    }

    /// The average under this decay; 0 before the first update, as haiku's.
    pub fn value(&self, decay: f64) -> Tensor {
        if self.updates == 0 {
            return self.hidden.copy();
        }
        &self.hidden / (1.0 - decay.powf(updates_f64(self.updates)))
    }

    /// A copy that shares nothing.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::resumed(self.hidden.copy(), self.updates)
    }

    /// Takes in one more value.
    pub(super) fn update(&mut self, value: &Tensor, decay: f64) {
        no_grad(|| {
            let value = value.detach().to_kind(self.hidden.kind());
            self.hidden = &self.hidden * decay + value * (1.0 - decay);
        });
        self.updates += 1;
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 steps")]
fn updates_f64(updates: i64) -> f64 {
    updates as f64
}
