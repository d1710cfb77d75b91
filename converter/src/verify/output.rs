//! The graph's output against the reference forward pass, on a fixed picture.

use std::fmt;

use detcon_core::arch::Depth;
use detcon_core::checkpoint::Checkpoint;
use detcon_core::model::ModelDirectory;
use detcon_core::reference::{self, Features};
use prost::Message;
use serde::Serialize;

use super::{Fault, VerifyError};
use crate::onnx::proto::{ModelProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type};
use crate::self_check;
use detcon_inference::{Graph, Runtime};

/// How far the graph's embedding is from the reference's, as shares of its largest magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OutputReport {
    /// Largest difference.
    pub worst: f32,
    /// Mean difference.
    pub mean: f32,
    /// Largest difference allowed.
    pub tolerance: f32,
}

impl OutputReport {
    /// Whether the worst difference is allowed. No number is no agreement.
    #[must_use]
    pub fn within(&self) -> bool {
        self.worst <= self.tolerance
    }
}

impl fmt::Display for OutputReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "worst relative error {:.1e}, mean {:.1e} ({:.0e} allowed) to the reference forward pass",
            self.worst, self.mean, self.tolerance
        )
    }
}

/// Both sides compute in float32 in another order, and rounding adds up over the 66 blocks of a ResNet-200.
const fn tolerance(depth: Depth) -> f32 {
    match depth {
        Depth::ResNet200 => 1e-4,
        Depth::Tiny
        | Depth::ResNet18
        | Depth::ResNet34
        | Depth::ResNet50
        | Depth::ResNet101
        | Depth::ResNet152 => 1e-5,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an embedding is thousands of values long"
)]
fn compare(found: &[f32], expected: &[f32], tolerance: f32) -> OutputReport {
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let errors = || {
        found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs() / largest)
    };
    let worst = errors().fold(
        0.0,
        |most: f32, error| if error <= most { most } else { error },
    );
    let whole = found.len() == expected.len();
    OutputReport {
        worst: if whole { worst } else { f32::INFINITY },
        mean: errors().sum::<f32>() / expected.len().max(1) as f32,
        tolerance,
    }
}

/// The reference's answers, and the engine that is held to them.
pub(super) struct Check<'a> {
    runtime: Runtime,
    checkpoint: &'a Checkpoint,
    images: Vec<u8>,
    shape: [usize; 4],
    expected: Features,
    tolerance: f32,
}

impl<'a> Check<'a> {
    pub(super) fn new(runtime: Runtime, checkpoint: &'a Checkpoint) -> Self {
        let (images, shape) = self_check::picture();
        Self {
            runtime,
            checkpoint,
            expected: reference::forward(checkpoint, &images, shape),
            images,
            shape,
            tolerance: tolerance(checkpoint.spec().depth()),
        }
    }

    pub(super) fn run(&self, onnx: &[u8]) -> Result<OutputReport, VerifyError> {
        let mut graph = Graph::from_bytes(&self.runtime, onnx)?;
        let outputs = graph.run(&self.images, self.shape, &["embedding"])?;
        Ok(compare(
            &outputs[0],
            self.expected.embedding.values(),
            self.tolerance,
        ))
    }

    /// Runs the graph once more with every stage as an output: for graphs whose weights are right.
    pub(super) fn first_wrong_stage(&self, mut model: ModelProto) -> Result<Fault, VerifyError> {
        let names = self.stage_outputs();
        if let Some(graph) = &mut model.graph {
            graph
                .output
                .extend(names[..3].iter().map(|name| untyped(name)));
        }
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut graph = Graph::from_bytes(&self.runtime, &model.encode_to_vec())?;
        let found = graph.run(&self.images, self.shape, &outputs)?;
        for (stage, (found, expected)) in found.iter().zip(&self.expected.stages).enumerate() {
            let report = compare(found, expected.values(), self.tolerance);
            if !report.within() {
                let layer = match stage {
                    0 => "conv1 to layer1".to_owned(),
                    _ => format!("layer{}", stage + 1),
                };
                let detail = format!("the weights are right, but c{} has a {report}", stage + 2);
                return Ok(Fault { layer, detail });
            }
        }
        Ok(Fault {
            layer: "embedding".to_owned(),
            detail: "every stage is right, but their mean is not".to_owned(),
        })
    }

    /// The graph's names for c2 … c5: a value is called as the block that makes it.
    fn stage_outputs(&self) -> [String; 4] {
        let mut names = [const { String::new() }; 4];
        for block in self.checkpoint.spec().blocks() {
            names[block.group] = block.name();
        }
        "c5".clone_into(&mut names[3]);
        names
    }

    /// The expected embedding that the directory holds, against the reference's.
    pub(super) fn stored(&self, directory: &ModelDirectory) -> Result<Option<Fault>, VerifyError> {
        let stored = directory.self_check()?;
        let again;
        let expected = if (stored.shape, &stored.images) == (self.shape, &self.images) {
            &self.expected
        } else {
            again = reference::forward(self.checkpoint, &stored.images, stored.shape);
            &again
        };
        let report = compare(
            &stored.embedding,
            expected.embedding.values(),
            self.tolerance,
        );
        Ok((!report.within()).then(|| Fault {
            layer: directory.manifest().self_check.file.clone(),
            detail: format!("its expected embedding has a {report}"),
        }))
    }
}

/// An output whose type and shape the engine works out.
fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: data_type::FLOAT,
                shape: None,
            }),
        }),
    }
}
