//! The graph of every stage: the network again with outputs `c2` … `c5`, and no weights of its own. Each refers to
//! its bytes in `model.onnx` beside it (ONNX's external data), so the file is small and the two cannot differ.

use std::collections::HashMap;
use std::ops::Range;

use detcon_core::arch::{ResNetSpec, Stage};
use detcon_core::model::file;
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::proto::{
    Dimension, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
    ValueInfoProto, data_type,
};

/// Field of a `ModelProto` that holds the graph.
const GRAPH: u32 = 7;
/// Field of a `GraphProto` that holds an initializer.
const INITIALIZER: u32 = 5;
/// Fields of a `TensorProto`.
const NAME: u32 = 8;
const RAW_DATA: u32 = 9;
/// `TensorProto.DataLocation`: in another file.
const EXTERNAL: i32 = 1;

/// Rewrites `model`, whose file is `encoded`, to give every stage and to take its weights from that file.
pub(super) fn rewrite(mut model: ModelProto, encoded: &[u8], spec: ResNetSpec) -> Vec<u8> {
    let places = weights(encoded);
    if let Some(graph) = &mut model.graph {
        for initializer in &mut graph.initializer {
            refer(initializer, &places[&initializer.name]);
        }
        add_outputs(graph, spec);
    }
    model.encode_to_vec()
}

/// Lets an initializer refer to its bytes in the other file.
fn refer(initializer: &mut TensorProto, place: &Range<usize>) {
    let entry = |key: &str, value: String| StringStringEntryProto {
        key: key.to_owned(),
        value,
    };
    initializer.raw_data = Vec::new();
    initializer.data_location = EXTERNAL;
    initializer.external_data = vec![
        entry("location", file::ONNX.to_owned()),
        entry("offset", place.start.to_string()),
        entry("length", place.len().to_string()),
    ];
}

/// Adds `c2` … `c4`, the ends of the first three groups of blocks, to `c5`, and drops the pooled embedding.
fn add_outputs(graph: &mut GraphProto, spec: ResNetSpec) {
    graph
        .node
        .retain(|node| !["pooled", "embedding"].contains(&node.name.as_str()));
    graph.output.retain(|output| output.name != "embedding");
    let stages = Stage::ALL
        .into_iter()
        .zip(spec.depth().blocks())
        .zip(spec.stage_channels());
    for (group, ((stage, blocks), channels)) in (1..).zip(stages) {
        if stage == Stage::C5 {
            continue; // there already
        }
        graph.node.push(NodeProto {
            input: vec![format!("layer{group}.{}", blocks - 1)],
            output: vec![stage.name().to_owned()],
            name: stage.name().to_owned(),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
        let axis = |name: &str| Dimension::Param(format!("{name}{group}"));
        let channels = Dimension::Value(i64::try_from(channels).unwrap_or(i64::MAX));
        let shape = [
            Dimension::Param("N".to_owned()),
            channels,
            axis("h"),
            axis("w"),
        ];
        graph.output.push(ValueInfoProto::tensor(
            stage.name(),
            data_type::FLOAT,
            &shape,
        ));
    }
}

/// Where each initializer's bytes are in an encoded model.
fn weights(encoded: &[u8]) -> HashMap<String, Range<usize>> {
    let mut places = HashMap::new();
    for graph in fields(encoded, 0..encoded.len(), GRAPH) {
        for tensor in fields(encoded, graph, INITIALIZER) {
            let name = fields(encoded, tensor.clone(), NAME).next();
            let data = fields(encoded, tensor, RAW_DATA).next();
            if let (Some(name), Some(data)) = (name, data) {
                places.insert(String::from_utf8_lossy(&encoded[name]).into_owned(), data);
            }
        }
    }
    places
}

/// The places of the length-delimited fields `tag` of the message at `message`. The bytes are our own.
fn fields(bytes: &[u8], message: Range<usize>, tag: u32) -> impl Iterator<Item = Range<usize>> {
    let mut at = message.start;
    std::iter::from_fn(move || {
        while at < message.end {
            let mut rest = &bytes[at..message.end];
            let (found, wire) = decode_key(&mut rest).expect("a model that was just encoded");
            let value =
                decode_varint(&mut rest).expect("every field used is a number or has a length");
            let start = message.end - rest.len();
            let length = usize::try_from(value).expect("a model is shorter than 2 GiB");
            at = if wire == WireType::LengthDelimited {
                start + length
            } else {
                start
            };
            if wire == WireType::LengthDelimited && found == tag {
                return Some(start..at);
            }
        }
        None
    })
}
