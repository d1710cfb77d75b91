//! The graph of every stage: the network again with outputs `c2` … `c5`, and no weights of its own. Each refers to
//! its bytes in `model.onnx` beside it (ONNX's external data), so the file is small and the two cannot differ.

use detcon_core::arch::{ResNetSpec, Stage};

use super::proto::{Dimension, GraphProto, NodeProto, ValueInfoProto, data_type};

/// Adds `c2` … `c4`, the ends of the first three groups of blocks, to `c5`, and drops the pooled embedding.
pub(super) fn add_outputs(graph: &mut GraphProto, spec: ResNetSpec) {
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
