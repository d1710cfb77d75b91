//! Batch norms folded into the convolutions before them, in float64.

use detcon_core::checkpoint::{Checkpoint, Tensor};

/// `batch_norm(conv(x))` as one convolution: kernel · γ/√(σ²+ε), bias β − μ·γ/√(σ²+ε).
pub(super) struct Fold<'a> {
    /// The convolution's, `[outputs, inputs, height, width]`.
    pub(super) kernel: &'a Tensor,
    offsets: &'a [f32],
    means: &'a [f32],
    /// γ/√(σ²+ε).
    factors: Vec<f64>,
}

impl<'a> Fold<'a> {
    /// The convolution `conv` and the batch norm after it.
    pub(super) fn new(checkpoint: &'a Checkpoint, conv: &str, batch_norm: &str) -> Self {
        let vector = |field: &str| checkpoint.get(&format!("{batch_norm}.{field}")).values();
        let epsilon = checkpoint.spec().epsilon();
        let factors = vector("weight")
            .iter()
            .zip(vector("running_var"))
            .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt());
        Self {
            kernel: checkpoint.get(&format!("{conv}.weight")),
            offsets: vector("bias"),
            means: vector("running_mean"),
            factors: factors.collect(),
        }
    }

    /// The kernel of both.
    pub(super) fn kernel(&self) -> Vec<f32> {
        let mut values = self.kernel.values().to_vec();
        let weights_per_output = values.len() / self.factors.len();
        for (weights, factor) in values
            .chunks_exact_mut(weights_per_output)
            .zip(&self.factors)
        {
            for weight in weights {
                *weight = to_f32(f64::from(*weight) * factor);
            }
        }
        values
    }

    /// The bias of both, `[outputs]`.
    pub(super) fn bias(&self) -> Vec<f32> {
        self.offsets
            .iter()
            .zip(self.means)
            .zip(&self.factors)
            .map(|((&offset, &mean), factor)| to_f32(f64::from(offset) - f64::from(mean) * factor))
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the graph's weights are float32"
)]
const fn to_f32(value: f64) -> f32 {
    value as f32
}
