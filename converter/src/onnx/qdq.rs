//! The float32 graph rewritten for 8-bit integers: values that convolutions and sums read pass through a pair of
//! `QuantizeLinear` and `DequantizeLinear`, kernels and biases are stored as integers. ONNX Runtime fuses each operator
//! between such pairs into its integer kernel.
//!
//! What stays float32: the normalisation of pixels, the last sum (so `c5` and the pooled `embedding` are not cut
//! into 256 steps), and in pre-activation networks the residual stream with the batch norms that read it.

use std::collections::{BTreeMap, HashSet};

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type, op};

/// How a value is stored in 8 bits: `real = scale · (stored − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) zero_point: u8,
}

/// A convolution's weights, symmetric for each output channel: `real = scales[channel] · stored`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IntegerConv {
    /// `[outputs, inputs, height, width]`.
    pub(crate) shape: [usize; 4],
    pub(crate) kernel: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    /// In real numbers: the integers that stand for it depend on the input's scale.
    pub(crate) bias: Vec<f32>,
}

/// Everything that the rewriting needs to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantization {
    /// For each of [`values`], by name.
    pub(crate) values: BTreeMap<String, Affine>,
    /// For each convolution, by the name of its output.
    pub(crate) convs: BTreeMap<String, IntegerConv>,
}

/// The values that are stored in 8 bits, in order of computation.
pub(crate) fn values(graph: &GraphProto) -> Vec<String> {
    let stored = |value: &&String| {
        let read_by = |ops: &[&str]| {
            graph
                .consumers(value)
                .any(|node| ops.contains(&node.op_type.as_str()))
        };
        read_by(&[op::CONV, op::ADD, op::MAX_POOL]) && !read_by(&[op::BATCH_NORM])
    };
    let made = graph.node.iter().flat_map(|node| &node.output);
    made.filter(stored).cloned().collect()
}

/// The value whose range decides how `value` is stored: a maximum lies in the range that it is taken of, and only
/// with the same scale does the engine pool integers.
pub(crate) fn range_source<'a>(graph: &'a GraphProto, value: &'a str) -> &'a str {
    match graph.producer(value) {
        Some(node) if node.op_type == op::MAX_POOL => &node.input[0],
        _ => value,
    }
}

/// The graph in integers.
///
/// # Panics
/// Where `quantization` lacks one of the graph's [`values`] or convolutions.
pub(crate) fn quantized(graph: &GraphProto, quantization: &Quantization) -> GraphProto {
    let mut rewriter = Rewriter {
        quantization,
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    for node in &graph.node {
        rewriter.node(node);
    }
    let Rewriter {
        nodes,
        mut initializers,
        ..
    } = rewriter;
    let read: HashSet<&String> = nodes.iter().flat_map(|node| &node.input).collect();
    let kept = graph
        .initializer
        .iter()
        .filter(|it| read.contains(&it.name));
    initializers.extend(kept.cloned());
    GraphProto {
        node: nodes,
        initializer: initializers,
        ..graph.clone()
    }
}

struct Rewriter<'a> {
    quantization: &'a Quantization,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Rewriter<'_> {
    fn node(&mut self, node: &NodeProto) {
        let mut node = node.clone();
        if node.op_type == op::CONV {
            let weights = self.weights(&node);
            node.input.splice(1.., weights);
        }
        for input in &mut node.input {
            if self.quantization.values.contains_key(input) {
                *input = dequantized(input);
            }
        }
        let output = node.output[0].clone();
        self.nodes.push(node);
        if let Some(&affine) = self.quantization.values.get(&output) {
            self.pair(&output, affine);
        }
    }

    /// Adds the pair that stores a value and reads it back.
    fn pair(&mut self, value: &str, affine: Affine) {
        let (scale, zero) = (format!("{value}.scale"), format!("{value}.zero_point"));
        let stored = format!("{value}.quantized");
        self.initializers
            .push(TensorProto::floats(&scale, &[], &[affine.scale]));
        let zero_point = vec![affine.zero_point];
        self.initializers
            .push(TensorProto::new(&zero, data_type::UINT8, &[], zero_point));
        let inputs = [value, &scale, &zero];
        self.nodes
            .push(NodeProto::new(op::QUANTIZE, &inputs, &stored, Vec::new()));
        let inputs = [stored.as_str(), &scale, &zero];
        let read = dequantized(value);
        self.nodes
            .push(NodeProto::new(op::DEQUANTIZE, &inputs, &read, Vec::new()));
    }

    /// Adds a convolution's weights and gives the names of kernel and bias.
    fn weights(&mut self, node: &NodeProto) -> [String; 2] {
        let name = &node.output[0];
        let conv = &self.quantization.convs[name];
        let input = self.quantization.values[&node.input[0]];
        let kernel: Vec<u8> = conv.kernel.iter().map(|&it| it.cast_unsigned()).collect();
        let bias_scales: Vec<f32> = conv.scales.iter().map(|it| it * input.scale).collect();
        let bias = conv.bias.iter().zip(&bias_scales);
        let bias: Vec<u8> = bias
            .flat_map(|(bias, scale)| to_i32(bias / scale).to_le_bytes())
            .collect();
        let stored = |field, data_type, shape: &[usize], bytes| {
            let name = format!("{name}.{field}.quantized");
            TensorProto::new(&name, data_type, shape, bytes)
        };
        let kernel = stored("weight", data_type::INT8, &conv.shape, kernel);
        let bias = stored("bias", data_type::INT32, &conv.shape[..1], bias);
        [
            self.constant(&format!("{name}.weight"), kernel, &conv.scales),
            self.constant(&format!("{name}.bias"), bias, &bias_scales),
        ]
    }

    /// Adds stored weights with a scale for each output channel and zero points of 0, and reads them back.
    fn constant(&mut self, name: &str, stored: TensorProto, scales: &[f32]) -> String {
        let channels = [scales.len()];
        let elements: i64 = stored.dims.iter().product();
        let element_size = stored.raw_data.len() / usize::try_from(elements).unwrap_or(1).max(1);
        let zeros = vec![0; scales.len() * element_size];
        let (scale, zero) = (format!("{name}.scale"), format!("{name}.zero_point"));
        let read = dequantized(name);
        self.nodes.push(NodeProto::new(
            op::DEQUANTIZE,
            &[&stored.name, &scale, &zero],
            &read,
            vec![AttributeProto::int("axis", 0)],
        ));
        self.initializers.extend([
            TensorProto::floats(&scale, &channels, scales),
            TensorProto::new(&zero, stored.data_type, &channels, zeros),
            stored,
        ]);
        read
    }
}

fn dequantized(value: &str) -> String {
    format!("{value}.dequantized")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a bias beyond 31 bits saturates, as the sum that it starts would"
)]
fn to_i32(value: f32) -> i32 {
    value.round_ties_even() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::untrained;
    use crate::onnx::network;

    fn float_graph(spec: &str) -> GraphProto {
        network(&untrained(spec.parse().unwrap(), 0))
    }

    /// The same scale for everything: enough to see what reads what.
    fn quantization(graph: &GraphProto) -> Quantization {
        let affine = Affine {
            scale: 0.5,
            zero_point: 3,
        };
        let conv = |node: &NodeProto| {
            let kernel = graph.initializer.iter().find(|it| it.name == node.input[1]);
            let dims = kernel.unwrap().dims.iter();
            let shape: Vec<_> = dims.map(|&axis| usize::try_from(axis).unwrap()).collect();
            let conv = IntegerConv {
                shape: shape.clone().try_into().unwrap(),
                kernel: vec![-1; shape.iter().product()],
                scales: vec![0.25; shape[0]],
                bias: vec![1.0; shape[0]],
            };
            (node.output[0].clone(), conv)
        };
        let convs = graph.node.iter().filter(|node| node.op_type == op::CONV);
        Quantization {
            values: values(graph).into_iter().map(|it| (it, affine)).collect(),
            convs: convs.map(conv).collect(),
        }
    }

    #[test]
    fn every_convolution_reads_integers_and_no_float_kernel_is_left() {
        for spec in ["tiny", "tinyv2", "resnet50"] {
            let graph = float_graph(spec);
            let quantized = quantized(&graph, &quantization(&graph));
            for node in quantized.node.iter().filter(|it| it.op_type == op::CONV) {
                assert_eq!(node.input.len(), 3, "{spec} {}", node.name);
                for input in &node.input {
                    let maker = quantized.producer(input).unwrap();
                    assert_eq!(maker.op_type, op::DEQUANTIZE, "{spec} {input}");
                }
            }
            let mut kernels = quantized.initializer.iter().filter(|it| it.dims.len() == 4);
            assert!(kernels.all(|it| it.data_type == data_type::INT8), "{spec}");
        }
    }

    #[test]
    fn a_bias_counts_in_steps_of_input_and_kernel() {
        let graph = float_graph("tiny");
        let quantized = quantized(&graph, &quantization(&graph));
        let mut initializers = quantized.initializer.iter();
        let bias = initializers.find(|it| it.name == "conv1.bias.quantized");
        assert_eq!(bias.unwrap().raw_data[..4], 8_i32.to_le_bytes()); // 1.0 / (0.5 · 0.25)
    }

    #[test]
    fn the_residual_stream_of_a_pre_activation_network_stays_float() {
        let stored = values(&float_graph("tinyv2"));
        assert!(stored.contains(&"layer1.0.relu1".to_owned()), "{stored:?}");
        assert!(!stored.contains(&"layer1.0".to_owned()), "{stored:?}");
    }

    #[test]
    fn the_last_sum_stays_float_and_every_other_is_stored() {
        let stored = values(&float_graph("resnet50"));
        assert!(stored.contains(&"layer4.1".to_owned()), "{stored:?}");
        assert!(!stored.contains(&"layer4.2".to_owned()), "{stored:?}");
    }

    #[test]
    fn a_pooled_maximum_is_stored_as_what_it_is_taken_of() {
        let graph = float_graph("resnet50");
        assert_eq!(range_source(&graph, "maxpool"), "relu1");
        assert_eq!(range_source(&graph, "layer1.0"), "layer1.0");
    }
}
