//! Writes a checkpoint as an ONNX file: input `images` uint8 `[N, H, W, 3]` RGB, outputs `embedding` `[N, D]` and
//! `c5` `[N, C, h, w]`, every length but the channels free. Scaling, normalisation, layout and SAME padding are in
//! the graph; batch norms are folded where a convolution comes before them.

mod fold;
mod graph;
pub(crate) mod half;
pub(crate) mod lean;
pub(crate) mod proto;
pub(crate) mod qdq;
mod stages;
mod stream;

use std::io::{self, Write};

use detcon_core::checkpoint::Checkpoint;
use prost::Message;

use proto::{GraphProto, ModelProto, TensorProto};

/// Operator set of the graph: everything in it is older, so any engine of the last years reads it.
const OPSET: i64 = 17;
/// Version of the file format that goes with that operator set.
const IR_VERSION: i64 = 8;
/// Protobuf's limit for one message.
const MAX_BYTES: usize = (1 << 31) - 1;

/// Why a checkpoint cannot be written as one ONNX file.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file would be longer than protobuf allows.
    #[error(
        "the graph would take {bytes} bytes and an ONNX file holds at most {MAX_BYTES}: take a smaller width"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The file could not be written.
    #[error("the graph could not be written: {source}")]
    Io {
        /// What the file system said.
        #[from]
        source: io::Error,
    },
}

/// Writes `model.onnx` to `output`, the same bytes for the same weights, one weight at a time; gives
/// `model.stages.onnx`, whose weights are in the first.
pub fn write_onnx(checkpoint: &Checkpoint, output: &mut dyn Write) -> Result<Vec<u8>, OnnxError> {
    let mut model = stream::write(checkpoint, output)?;
    if let Some(graph) = &mut model.graph {
        stages::add_outputs(graph, checkpoint.spec());
    }
    Ok(model.encode_to_vec())
}

/// The float32 graph of a checkpoint: the one description of the network, which other precisions are rewritten from.
pub(crate) fn network(checkpoint: &Checkpoint) -> GraphProto {
    let mut weights = Vec::new();
    let graph = graph::build(checkpoint, &mut |weight| {
        weights.push(TensorProto::floats(
            weight.name,
            weight.shape,
            &(weight.values)(),
        ));
    });
    GraphProto {
        initializer: weights,
        ..graph
    }
}

/// The ONNX file of a graph.
pub(crate) fn encode(graph: GraphProto) -> Result<Vec<u8>, OnnxError> {
    let model = ModelProto {
        graph: Some(graph),
        ..model()
    };
    match model.encoded_len() {
        bytes if bytes > MAX_BYTES => Err(OnnxError::TooLarge { bytes }),
        _ => Ok(model.encode_to_vec()),
    }
}

/// A file without its graph.
fn model() -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: None,
        opset_import: vec![proto::OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
    }
}
