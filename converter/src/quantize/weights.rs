//! Kernels in 8 bits, one scale for each output channel.

use crate::onnx::proto::{GraphProto, TensorProto, op};
use crate::onnx::qdq::IntegerConv;

/// Largest stored magnitude: −128 is left out, so that the range is symmetric.
const MOST: f32 = 127.0;
/// Steps that a bias may take: half of what 32 bits count, so that the sum that it starts has room.
const BIAS_STEPS: f32 = 1_073_741_824.0;

/// A float32 convolution of the graph.
pub(super) struct FloatConv {
    /// The name of its output.
    pub(super) name: String,
    /// `[outputs, inputs, height, width]`.
    pub(super) shape: [usize; 4],
    pub(super) kernel: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// The convolutions of the float32 graph, in order of computation.
pub(super) fn convs(graph: &GraphProto) -> Vec<FloatConv> {
    let tensor = |name: &String| graph.initializer.iter().find(|it| it.name == *name);
    let convs = graph.node.iter().filter(|node| node.op_type == op::CONV);
    convs
        .map(|node| {
            let kernel = tensor(&node.input[1]).expect("a convolution's kernel is an initializer");
            let axis = |i: usize| usize::try_from(kernel.dims[i]).expect("lengths are positive");
            let shape = [axis(0), axis(1), axis(2), axis(3)];
            let bias = node.input.get(2).and_then(tensor);
            FloatConv {
                name: node.output[0].clone(),
                shape,
                kernel: kernel.to_floats(),
                bias: bias.map_or_else(|| vec![0.0; shape[0]], TensorProto::to_floats),
            }
        })
        .collect()
}

/// Rounds a kernel, channel by channel; the largest weight of each becomes ±127.
///
/// `smallest_scale` keeps the bias in 31 bits where a channel's weights are next to nothing.
pub(super) fn round(conv: &FloatConv, input_scale: f32) -> IntegerConv {
    let per_channel = conv.kernel.len() / conv.shape[0];
    let mut kernel = Vec::with_capacity(conv.kernel.len());
    let mut scales = Vec::with_capacity(conv.shape[0]);
    for (weights, bias) in conv.kernel.chunks_exact(per_channel).zip(&conv.bias) {
        let scale = scale(weights).max(smallest_scale(*bias, input_scale));
        kernel.extend(weights.iter().map(|weight| to_i8(weight / scale)));
        scales.push(scale);
    }
    IntegerConv {
        shape: conv.shape,
        kernel,
        scales,
        bias: conv.bias.clone(),
    }
}

fn scale(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0.0f32, |most, it| most.max(it.abs()));
    largest / MOST
}

/// The scale below which the bias, stored in steps of both scales, would need more than 30 bits.
fn smallest_scale(bias: f32, input_scale: f32) -> f32 {
    (bias.abs() / input_scale / BIAS_STEPS).max(f32::MIN_POSITIVE)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of the type"
)]
fn to_i8(value: f32) -> i8 {
    value.round_ties_even().clamp(-MOST, MOST) as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conv(kernel: Vec<f32>, bias: Vec<f32>) -> FloatConv {
        FloatConv {
            name: "conv".to_owned(),
            shape: [bias.len(), kernel.len() / bias.len(), 1, 1],
            kernel,
            bias,
        }
    }

    proptest! {
        #[test]
        fn a_rounded_weight_is_within_half_a_step(
            kernel in prop::collection::vec(-1e3f32..1e3, 1..40),
            bias in -10f32..10.0,
        ) {
            let conv = conv(kernel, vec![bias]);
            let rounded = round(&conv, 0.05);
            let scale = rounded.scales[0];
            for (&stored, &weight) in rounded.kernel.iter().zip(&conv.kernel) {
                let error = (f32::from(stored) * scale - weight).abs();
                prop_assert!(error <= scale * 0.5 + weight.abs() * 1e-6, "{weight} became {stored}");
            }
        }
    }

    #[test]
    fn channels_have_scales_of_their_own() {
        let rounded = round(&conv(vec![0.5, -1.27, 100.0, 12.7], vec![0.0, 0.0]), 1.0);
        assert_eq!(rounded.kernel, [50, -127, 127, 16]);
    }

    #[test]
    fn a_channel_of_zeros_keeps_its_bias() {
        let rounded = round(&conv(vec![0.0, 0.0], vec![3.0]), 0.01);
        let step = rounded.scales[0] * 0.01;
        let stored = 3.0 / step;
        assert!(rounded.kernel == [0, 0] && stored <= BIAS_STEPS, "{stored}");
    }
}
