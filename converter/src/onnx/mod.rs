//! Writes a checkpoint as an ONNX file: input `images` uint8 `[N, H, W, 3]` RGB, outputs `embedding` `[N, D]` and
//! `c5` `[N, C, h, w]`, every length but the channels free. Scaling, normalisation, layout and SAME padding are in
//! the graph; batch norms are folded where a convolution comes before them.

mod fold;
mod graph;
pub(crate) mod proto;

use std::io::{self, Write};

use detcon_core::checkpoint::Checkpoint;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

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

/// The ONNX file of a checkpoint, the same bytes for the same weights.
pub fn to_onnx(checkpoint: &Checkpoint) -> Result<Vec<u8>, OnnxError> {
    let mut bytes = Vec::new();
    write_onnx(checkpoint, &mut bytes)?;
    Ok(bytes)
}

/// Writes the same bytes to `output`, one tensor at a time: the weights are made twice, first for their lengths,
/// so that they are never in memory all at once.
pub fn write_onnx(checkpoint: &Checkpoint, output: &mut dyn Write) -> Result<(), OnnxError> {
    let mut weights = 0;
    let graph = graph::build(checkpoint, &mut |tensor| {
        weights +=
            field_header(field::INITIALIZER, tensor.encoded_len()).len() + tensor.encoded_len();
    });
    let ends = proto::GraphProto {
        input: graph.input,
        output: graph.output,
        ..proto::GraphProto::default()
    };
    let nodes = proto::GraphProto {
        node: graph.node,
        name: graph.name,
        ..proto::GraphProto::default()
    };
    let length = nodes.encoded_len() + weights + ends.encoded_len();
    if length > MAX_BYTES {
        return Err(OnnxError::TooLarge { bytes: length });
    }
    output.write_all(&head().encode_to_vec())?;
    output.write_all(&field_header(field::GRAPH, length))?;
    output.write_all(&nodes.encode_to_vec())?;
    let mut written = Ok(());
    graph::build(checkpoint, &mut |tensor| {
        if written.is_ok() {
            written = write_initializer(&tensor, output);
        }
    });
    written?;
    output.write_all(&ends.encode_to_vec())?;
    Ok(output.write_all(&tail().encode_to_vec())?)
}

/// Numbers of the fields that are written by hand, around what is streamed.
mod field {
    /// `ModelProto.graph`
    pub(super) const GRAPH: u32 = 7;
    /// `GraphProto.initializer`
    pub(super) const INITIALIZER: u32 = 5;
}

fn write_initializer(tensor: &proto::TensorProto, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(&field_header(field::INITIALIZER, tensor.encoded_len()))?;
    output.write_all(&tensor.encode_to_vec())
}

/// What stands before a message of `length` bytes in a field.
fn field_header(number: u32, length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut header);
    encode_varint(length as u64, &mut header);
    header
}

/// The model's fields before the graph.
fn head() -> proto::ModelProto {
    proto::ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..proto::ModelProto::default()
    }
}

/// The model's fields after the graph.
fn tail() -> proto::ModelProto {
    proto::ModelProto {
        opset_import: vec![proto::OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        ..proto::ModelProto::default()
    }
}
