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

use detcon_core::checkpoint::Checkpoint;
use prost::Message;

use proto::{GraphProto, ModelProto};

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
}

/// A checkpoint's ONNX files.
#[derive(Debug)]
pub struct OnnxFiles {
    /// `model.onnx`: gives `embedding` and `c5`.
    pub main: Vec<u8>,
    /// `model.stages.onnx`: gives `c2` … `c5`, with the weights in the first.
    pub stages: Vec<u8>,
}

/// The ONNX files of a checkpoint, the same bytes for the same weights.
pub fn to_onnx(checkpoint: &Checkpoint) -> Result<OnnxFiles, OnnxError> {
    let model = model(network(checkpoint));
    let main = encode_model(&model)?;
    let stages = stages::rewrite(model, &main, checkpoint.spec());
    Ok(OnnxFiles { main, stages })
}

/// The float32 graph of a checkpoint: the one description of the network, which other precisions are rewritten from.
pub(crate) fn network(checkpoint: &Checkpoint) -> GraphProto {
    graph::build(checkpoint)
}

/// The ONNX file of a graph.
pub(crate) fn encode(graph: GraphProto) -> Result<Vec<u8>, OnnxError> {
    encode_model(&model(graph))
}

fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
    }
}

fn encode_model(model: &ModelProto) -> Result<Vec<u8>, OnnxError> {
    match model.encoded_len() {
        bytes if bytes > MAX_BYTES => Err(OnnxError::TooLarge { bytes }),
        _ => Ok(model.encode_to_vec()),
    }
}
