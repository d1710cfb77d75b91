//! The graphs that the converter writes, run by the engine that serves them, and the reference forward pass:
//! each against the published code's outputs.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use detcon_core::arch::Depth;
use detcon_core::checkpoint::{Checkpoint, Tensor};
use detcon_core::reference;
use detcon_inference::{Batch, Compute, Device, Output};
use detcon_tests::golden::{self, EncoderCase};
use detcon_tests::models;
use detcon_tests::service::engine;

/// Largest difference allowed, as a share of the output's largest magnitude: both sides compute in float32, and
/// rounding adds up over the 66 blocks of a ResNet-200.
fn tolerance(depth: Depth) -> f32 {
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

/// Largest batch that the reference is asked for here: it is slow, and a 224×224 case takes it a minute.
const REFERENCE_BYTES: usize = 3 * 160 * 160;

#[test]
fn the_reference_forward_pass_equals_the_published_code() {
    for encoder in golden::encoders() {
        let model = models::imported(&encoder.arch, encoder.seed);
        let spec = model.manifest().spec;
        let bytes = fs::read(model.path().join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::from_bytes(spec, &bytes).unwrap();
        let small = |case: &&EncoderCase| case.images.values.len() <= REFERENCE_BYTES;
        for case in encoder.cases.iter().filter(small) {
            let shape = case.images.shape.clone().try_into().unwrap();
            let features = reference::forward(&checkpoint, &case.images.values, shape);
            for (name, expected) in &case.outputs {
                let found = match name.as_str() {
                    "c2" => &features.stages[0],
                    "c3" => &features.stages[1],
                    "c4" => &features.stages[2],
                    "c5" => &features.stages[3],
                    "embedding" => &features.embedding,
                    other => panic!("{other} is no output of the reference"),
                };
                assert_eq!(found.shape(), expected.shape, "{name} of {shape:?}");
                let error = golden::largest_error(found.values(), &expected.values);
                assert!(
                    error <= tolerance(spec.depth()),
                    "{name} of {shape:?}: {error:e}"
                );
            }
        }
    }
}

/// Two threads, so that what one leaves to another is tested too.
const COMPUTE: Compute = Compute {
    device: Device::Cpu,
    threads: NonZeroUsize::new(2).unwrap(),
    spinning: Duration::ZERO,
};

#[test]
fn the_served_graph_equals_the_published_code() {
    for encoder in golden::encoders() {
        let model = models::imported(&encoder.arch, encoder.seed);
        let mut engine = engine(&model, COMPUTE);
        for case in &encoder.cases {
            let shape = case.images.shape.clone().try_into().unwrap();
            let batch = Batch {
                shape,
                images: case.images.values.clone(),
            };
            for (name, expected) in &case.outputs {
                let output = match name.as_str() {
                    "embedding" => Output::Embedding,
                    stage => Output::Features(stage.parse().unwrap()),
                };
                let found = engine.run(&batch, output).unwrap();
                assert_eq!(found.len(), expected.shape[0]);
                assert!(
                    found
                        .iter()
                        .all(|image| *image.shape() == expected.shape[1..])
                );
                let found: Vec<_> = found.into_iter().flat_map(Tensor::into_values).collect();
                let error = golden::largest_error(&found, &expected.values);
                println!("{} {shape:?} {name}: {error:.1e}", encoder.arch);
                assert!(
                    error <= tolerance(model.manifest().spec.depth()),
                    "{} {shape:?} {name}: {error:e}",
                    encoder.arch
                );
            }
        }
    }
}
