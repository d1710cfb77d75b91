//! Writes a checkpoint as an ONNX file: input `images` uint8 `[N, H, W, 3]` RGB, outputs `embedding` `[N, D]` and
//! `c5` `[N, C, h, w]`, every length but the channels free. Scaling, normalisation, layout and padding are in
//! the graph; batch norms are folded where a convolution comes before them.
//!
//! Engines that take no bytes or no free lengths get a graph of a fixed size instead, with every padding written out.

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

/// What a graph reads.
#[derive(Clone, Copy, Debug)]
enum Input {
    /// `images`, uint8 `[N, H, W, 3]`, red first.
    Bytes,
    /// `images`, float32 `[1, 3, H, W]` of this height and width: the same 0 … 255, red first.
    Planes([usize; 2]),
}

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
    let mut model = stream::write(checkpoint, Input::Bytes, output)?;
    if let Some(graph) = &mut model.graph {
        stages::add_outputs(graph, checkpoint.spec());
    }
    Ok(model.encode_to_vec())
}

/// Writes a graph of one image of a fixed height and width, for other engines: it reads float32 planes `[1, 3, H, W]` of
/// 0 … 255, red first, as image libraries' blobs are.
pub fn write_fixed_onnx(
    checkpoint: &Checkpoint,
    size: [usize; 2],
    output: &mut dyn Write,
) -> Result<(), OnnxError> {
    stream::write(checkpoint, Input::Planes(size), output).map(drop)
}

/// The float32 graph of a checkpoint: the one description of the network, which other precisions are rewritten from.
pub(crate) fn network(checkpoint: &Checkpoint) -> GraphProto {
    let mut weights = Vec::new();
    let graph = graph::build(checkpoint, Input::Bytes, &mut |weight| {
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
