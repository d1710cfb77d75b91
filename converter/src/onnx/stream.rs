//! Writes a checkpoint's graph weight by weight, so that no more than one is in memory twice.
//!
//! A protobuf message starts with its length, so the graph is built twice: first for the lengths, without any values,
//! then to write them.

use std::io::Write;

use detcon_core::checkpoint::{Checkpoint, little_endian};
use detcon_core::model::file;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::graph::{Weight, build};
use super::proto::{
    GraphProto, ModelProto, StringStringEntryProto, TensorProto, data_type, external,
};
use super::{Input, MAX_BYTES, OnnxError, model};

/// Numbers of the fields that are written by hand, around what is streamed.
mod field {
    /// `ModelProto.graph`
    pub(super) const GRAPH: u32 = 7;
    /// `GraphProto.initializer`
    pub(super) const INITIALIZER: u32 = 5;
    /// `TensorProto.raw_data`
    pub(super) const RAW_DATA: u32 = 9;
}

/// A weight in the file: everything before its bytes, and how many those are.
struct Place {
    /// The tensor without its bytes.
    tensor: TensorProto,
    head: Vec<u8>,
    bytes: usize,
}

impl Place {
    fn new(weight: &Weight<'_>) -> Self {
        let tensor = TensorProto::new(weight.name, data_type::FLOAT, weight.shape, Vec::new());
        let bytes = weight.shape.iter().product::<usize>() * size_of::<f32>();
        let mut fields = tensor.encode_to_vec();
        fields.extend(start(field::RAW_DATA, bytes));
        let mut head = start(field::INITIALIZER, fields.len() + bytes);
        head.extend(fields);
        Self {
            tensor,
            head,
            bytes,
        }
    }

    const fn len(&self) -> usize {
        self.head.len() + self.bytes
    }

    /// The tensor with its bytes in `model.onnx`, `offset` from the start.
    fn referring(self, offset: usize) -> TensorProto {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.to_owned(),
            value,
        };
        TensorProto {
            data_location: external::EXTERNAL,
            external_data: vec![
                entry("location", file::ONNX.to_owned()),
                entry("offset", offset.to_string()),
                entry("length", self.bytes.to_string()),
            ],
            ..self.tensor
        }
    }
}

/// Writes the file to `output`; gives the same model with weights that refer to their bytes in it.
pub(super) fn write(
    checkpoint: &Checkpoint,
    input: Input,
    output: &mut dyn Write,
) -> Result<ModelProto, OnnxError> {
    let mut places = Vec::new();
    let graph = build(checkpoint, input, &mut |weight| {
        places.push(Place::new(&weight));
    });
    // Fields stand in the order of their numbers; those of the graph around its weights go into messages of their own.
    let before = GraphProto {
        node: graph.node.clone(),
        name: graph.name.clone(),
        ..GraphProto::default()
    };
    let after = GraphProto {
        input: graph.input.clone(),
        output: graph.output.clone(),
        ..GraphProto::default()
    };
    let weights: usize = places.iter().map(Place::len).sum();
    let bytes = before.encoded_len() + weights + after.encoded_len();
    if bytes > MAX_BYTES {
        return Err(OnnxError::TooLarge { bytes });
    }
    let end = ModelProto {
        opset_import: model().opset_import,
        ..ModelProto::default()
    };
    let mut head = ModelProto {
        opset_import: Vec::new(),
        ..model()
    }
    .encode_to_vec();
    head.extend(start(field::GRAPH, bytes));
    head.extend(before.encode_to_vec());
    output.write_all(&head)?;
    write_weights((checkpoint, input), &places, output)?;
    output.write_all(&after.encode_to_vec())?;
    output.write_all(&end.encode_to_vec())?;
    let mut offset = head.len();
    let refer = |place: Place| {
        let start = offset + place.head.len();
        offset += place.len();
        place.referring(start)
    };
    Ok(ModelProto {
        graph: Some(GraphProto {
            initializer: places.into_iter().map(refer).collect(),
            ..graph
        }),
        ..model()
    })
}

fn write_weights(
    (checkpoint, input): (&Checkpoint, Input),
    places: &[Place],
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let mut places = places.iter();
    let mut written = Ok(());
    build(checkpoint, input, &mut |weight| {
        let head = &places
            .next()
            .expect("a graph has the same weights each time")
            .head;
        if written.is_ok() {
            written = output
                .write_all(head)
                .and_then(|()| output.write_all(&little_endian(&(weight.values)())));
        }
    });
    written
}

/// What stands before a message or bytes of `length` in a field.
fn start(number: u32, length: usize) -> Vec<u8> {
    let mut start = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut start);
    encode_varint(length as u64, &mut start);
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::untrained;
    use crate::onnx::{encode, network};

    #[test]
    fn the_streamed_file_is_the_encoded_graph_and_weights_are_where_they_are_said_to_be() {
        for spec in ["tiny", "resnet18v2"] {
            let checkpoint = untrained(spec.parse().unwrap(), 0);
            let mut streamed = Vec::new();
            let referring = write(&checkpoint, Input::Bytes, &mut streamed).unwrap();
            let graph = network(&checkpoint);
            assert!(streamed == encode(graph.clone()).unwrap());
            let weights = referring.graph.unwrap().initializer;
            assert_eq!(weights.len(), graph.initializer.len());
            for (found, expected) in weights.iter().zip(&graph.initializer) {
                let number =
                    |entry: usize| -> usize { found.external_data[entry].value.parse().unwrap() };
                let (offset, length) = (number(1), number(2));
                assert_eq!(found.name, expected.name);
                assert!(streamed[offset..offset + length] == expected.raw_data);
            }
        }
    }
}
