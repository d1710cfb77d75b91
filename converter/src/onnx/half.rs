//! The float32 graph rewritten for 16-bit floats: everything between the normalised pixels and `c5`.
//!
//! Pixels are normalised and `c5` is pooled in float32, where 11 bits would cost accuracy and gain no time.

use std::collections::HashMap;

use half::f16;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type, op};

/// A weight that 16-bit floats cannot hold.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} holds {value}, and the largest 16-bit float is {}: serve fp32 or int8",
    f16::MAX
)]
pub struct HalfError {
    name: String,
    value: f32,
}

/// The graph in 16-bit floats.
pub(crate) fn halved(graph: &GraphProto) -> Result<GraphProto, HalfError> {
    let mut nodes = Vec::new();
    let mut casts = HashMap::new();
    for node in &graph.node {
        let mut node = node.clone();
        if let Some(to) = boundary(graph, &node) {
            let value = node.input[0].clone();
            let cast = casts.entry(value.clone()).or_insert_with(|| {
                let name = format!("{value}.cast");
                let to = vec![AttributeProto::int("to", i64::from(to))];
                nodes.push(NodeProto::new(op::CAST, &[&value], &name, to));
                name
            });
            node.input[0].clone_from(cast);
        }
        nodes.push(node);
    }
    let initializer = graph.initializer.iter().map(|tensor| {
        let weights = graph
            .consumers(&tensor.name)
            .any(|node| [op::CONV, op::BATCH_NORM].contains(&node.op_type.as_str()));
        if weights {
            to_half(tensor)
        } else {
            Ok(tensor.clone())
        }
    });
    Ok(GraphProto {
        node: nodes,
        initializer: initializer.collect::<Result<_, _>>()?,
        ..graph.clone()
    })
}

/// The type that a node's first input has to be cast to, if it lies where the type changes.
fn boundary(graph: &GraphProto, node: &NodeProto) -> Option<i32> {
    let maker = graph.producer(&node.input[0])?;
    let enters = node.op_type == op::CONV && maker.op_type == op::MUL;
    let leaves = [op::IDENTITY, op::GLOBAL_AVERAGE_POOL].contains(&node.op_type.as_str());
    if enters {
        Some(data_type::FLOAT16)
    } else if leaves {
        Some(data_type::FLOAT)
    } else {
        None
    }
}

fn to_half(tensor: &TensorProto) -> Result<TensorProto, HalfError> {
    let mut bytes = Vec::with_capacity(tensor.raw_data.len() / 2);
    for value in tensor.to_floats() {
        let half = f16::from_f32(value);
        if half.is_infinite() {
            let name = tensor.name.clone();
            return Err(HalfError { name, value });
        }
        bytes.extend(half.to_le_bytes());
    }
    Ok(TensorProto {
        data_type: data_type::FLOAT16,
        raw_data: bytes,
        ..tensor.clone()
    })
}

#[cfg(test)]
mod tests {
    use detcon_core::checkpoint::{Checkpoint, Tensor};

    use super::*;
    use crate::demo::untrained;
    use crate::onnx::network;

    #[test]
    fn weights_take_half_the_bytes_and_pixels_are_normalised_in_float32() {
        let graph = network(&untrained("tiny".parse().unwrap(), 0));
        let halved = halved(&graph).unwrap();
        for (before, after) in graph.initializer.iter().zip(&halved.initializer) {
            let input = before.name.starts_with("input.");
            let bytes = before.raw_data.len() / if input { 1 } else { 2 };
            assert_eq!(after.raw_data.len(), bytes, "{}", before.name);
        }
    }

    #[test]
    fn a_weight_beyond_16_bits_is_named() {
        let spec = "tiny".parse().unwrap();
        let mut tensors = untrained(spec, 0).tensors().clone();
        let bias = Tensor::new(vec![64], vec![1e6; 64]);
        tensors.insert("bn1.bias".to_owned(), bias);
        let graph = network(&Checkpoint::new(spec, tensors).unwrap());
        let error = halved(&graph).unwrap_err().to_string();
        assert!(error.starts_with("conv1.bias holds 1000000"), "{error}");
    }
}
