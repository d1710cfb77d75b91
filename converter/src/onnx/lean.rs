//! The float32 graph without two passes over memory that integers would notice: they take a tenth of the time that
//! integer convolutions do, and none of float32's.
//!
//! - Centred pixels are not multiplied by 1/σ: the first kernel is, which is the same sum.
//! - `c5` is the last block's own value instead of a copy of it.

use super::proto::{GraphProto, NodeProto, TensorProto, op};

/// The leaner graph, equal in exact arithmetic.
pub(crate) fn lean(graph: GraphProto) -> GraphProto {
    without_copy(without_scaling(graph))
}

fn without_scaling(mut graph: GraphProto) -> GraphProto {
    let is_scaling = |node: &NodeProto| node.op_type == op::MUL;
    let Some(place) = graph.node.iter().position(is_scaling) else {
        return graph;
    };
    let scaling = graph.node.remove(place);
    let (value, factor) = (&scaling.input[0], &scaling.input[1]);
    let factors = initializer(&graph, factor).to_floats();
    for node in 0..graph.node.len() {
        if graph.node[node].input[0] == scaling.output[0] {
            graph.node[node].input[0].clone_from(value);
            let kernel = graph.node[node].input[1].clone();
            scale_inputs(&mut graph.initializer, &kernel, &factors);
        }
    }
    graph.initializer.retain(|it| it.name != *factor);
    graph
}

/// Multiplies a kernel `[outputs, inputs, height, width]` by a factor for each input.
fn scale_inputs(initializers: &mut [TensorProto], kernel: &str, factors: &[f32]) {
    for tensor in initializers.iter_mut().filter(|it| it.name == kernel) {
        let area = usize::try_from(tensor.dims[2] * tensor.dims[3]).expect("lengths are positive");
        let inputs = factors.iter().cycle();
        let values = tensor.to_floats();
        let scaled = values.chunks_exact(area).zip(inputs);
        tensor.raw_data = scaled
            .flat_map(|(taps, factor)| {
                taps.iter()
                    .flat_map(move |tap| (tap * factor).to_le_bytes())
            })
            .collect();
    }
}

fn without_copy(mut graph: GraphProto) -> GraphProto {
    let is_copy = |node: &NodeProto| node.op_type == op::IDENTITY;
    let Some(place) = graph.node.iter().position(is_copy) else {
        return graph;
    };
    let copy = graph.node.remove(place);
    let rename = |name: &mut String| {
        if *name == copy.input[0] {
            name.clone_from(&copy.output[0]);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(rename);
        node.output.iter_mut().for_each(rename);
    }
    graph
}

fn initializer<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    let tensor = graph.initializer.iter().find(|it| it.name == name);
    tensor.expect("the graph's constants are initializers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::untrained;
    use crate::onnx::network;

    #[test]
    fn the_first_kernel_absorbs_the_scaling_of_its_own_channel() {
        let graph = network(&untrained("tiny".parse().unwrap(), 0));
        let leaner = lean(graph.clone());
        let kernel = |graph: &GraphProto| initializer(graph, "conv1.weight").to_floats();
        let factors = initializer(&graph, "input.factor").to_floats();
        for (i, (scaled, weight)) in kernel(&leaner).iter().zip(kernel(&graph)).enumerate() {
            let channel = i / 49 % 3;
            assert!((scaled - weight * factors[channel]).abs() <= f32::EPSILON * scaled.abs());
        }
        let stem = leaner.producer("conv1").unwrap();
        assert_eq!(stem.input[0], "input.centred");
    }

    #[test]
    fn c5_is_made_by_the_last_block_and_pooled() {
        let leaner = lean(network(&untrained("tiny".parse().unwrap(), 0)));
        assert_eq!(leaner.producer("c5").unwrap().op_type, op::RELU);
        assert_eq!(leaner.producer("pooled").unwrap().input, ["c5"]);
    }
}
