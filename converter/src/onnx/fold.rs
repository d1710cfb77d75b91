//! Batch norms folded into the convolutions before them, in float64.

use detcon_core::arch::BATCH_NORM_EPSILON;
use detcon_core::checkpoint::{Checkpoint, Tensor};

/// A convolution with a bias.
pub(super) struct Folded {
    pub(super) kernel: Tensor,
    pub(super) bias: Tensor,
}

/// `batch_norm(conv(x))` as one convolution: kernel · γ/√(σ²+ε), bias β − μ·γ/√(σ²+ε).
pub(super) fn fold(checkpoint: &Checkpoint, conv: &str, batch_norm: &str) -> Folded {
    let kernel = checkpoint.get(&format!("{conv}.weight"));
    let vector = |field: &str| checkpoint.get(&format!("{batch_norm}.{field}")).values();
    let factors: Vec<f64> = vector("weight")
        .iter()
        .zip(vector("running_var"))
        .map(|(&scale, &variance)| {
            f64::from(scale) / (f64::from(variance) + BATCH_NORM_EPSILON).sqrt()
        })
        .collect();
    let bias = vector("bias")
        .iter()
        .zip(vector("running_mean"))
        .zip(&factors)
        .map(|((&offset, &mean), factor)| to_f32(f64::from(offset) - f64::from(mean) * factor))
        .collect();
    let weights_per_output = kernel.values().len() / factors.len();
    let mut values = kernel.values().to_vec();
    for (weights, factor) in values.chunks_exact_mut(weights_per_output).zip(&factors) {
        for weight in weights {
            *weight = to_f32(f64::from(*weight) * factor);
        }
    }
    Folded {
        kernel: Tensor::new(kernel.shape().to_vec(), values),
        bias: Tensor::new(vec![factors.len()], bias),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the graph's weights are float32"
)]
const fn to_f32(value: f64) -> f32 {
    value as f32
}
