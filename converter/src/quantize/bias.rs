//! Bias correction: rounding shifts the mean of a convolution's outputs, and a shift of a whole channel is what an
//! average over the picture cannot remove. It is measured and taken off the bias.
//!
//! Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019),
//! section 4.2, with means measured on photographs. Convolutions are corrected in order of computation, each with
//! everything before it corrected.

use detcon_inference::Graph;

use crate::onnx::encode;
use crate::onnx::proto::GraphProto;
use crate::onnx::qdq::{Quantization, quantized};
use crate::progress::counting;

use super::QuantizeError;
use super::calibrate::{Calibration, Means, Observed, run};

/// Corrects the bias of every convolution on what the photographs give.
pub(super) fn correct(
    calibration: &Calibration<'_>,
    observed: &Observed,
    quantization: &mut Quantization,
) -> Result<(), QuantizeError> {
    let bar = counting("correcting convolutions", calibration.convs.len());
    for conv in &calibration.convs {
        let names = [conv.name.clone()];
        let probe = up_to(&quantized(&calibration.graph, quantization), &conv.name);
        let mut session = Graph::from_bytes(calibration.runtime, &encode(probe)?)?;
        let mut means = Means::new([conv]);
        for photograph in calibration.photographs {
            let values = run(&mut session, photograph, &names)?;
            means.add(names.iter().zip(&values));
        }
        let expected = &observed.means[&conv.name];
        let means = means.finish();
        let integers = quantization.convs.get_mut(&conv.name);
        let bias = &mut integers.expect("every convolution is quantized").bias;
        for ((bias, expected), found) in bias.iter_mut().zip(expected).zip(&means[&conv.name]) {
            *bias += to_f32(expected - found);
        }
        bar.advance();
    }
    Ok(())
}

/// The graph's beginning, which ends in the value and gives nothing else. As an output the value is float32: the
/// sum of integers before it is rounded to 8 bits.
fn up_to(graph: &GraphProto, value: &str) -> GraphProto {
    let makes = |output: &[String]| output.iter().any(|output| output == value);
    let end = graph.node.iter().position(|node| makes(&node.output));
    let mut beginning = GraphProto {
        node: graph.node[..=end.expect("the graph makes the value")].to_vec(),
        output: Vec::new(),
        ..graph.clone()
    };
    let read = |name: &String| beginning.consumers(name).next().is_some();
    let initializer = graph.initializer.iter();
    beginning.initializer = initializer.filter(|it| read(&it.name)).cloned().collect();
    beginning.with_outputs(&[value.to_owned()])
}

#[expect(clippy::cast_possible_truncation, reason = "a bias is float32")]
const fn to_f32(value: f64) -> f32 {
    value as f32
}
