use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::Checkpoint;
use detcon_tests::golden::{Array, encoders, torch_networks};
use detcon_tests::models::imported_from_torch;
use detcon_trainer::network::{HeadSpec, Mode, Network, Predictor};
use tch::{Device, Kind, Tensor, no_grad};

use crate::cases::assert_close;
use crate::golden::{generated, heads};

/// float32 `[N, 3, H, W]` in [0, 1].
fn images(bytes: &Array<u8>) -> Tensor {
    let shape: Vec<i64> = bytes
        .shape
        .iter()
        .map(|&length| i64::try_from(length).unwrap())
        .collect();
    let images = Tensor::from_slice(&bytes.values)
        .reshape(shape)
        .permute([0, 3, 1, 2]);
    images.to_kind(Kind::Float) / 255.0
}

fn expected(array: &Array<f32>) -> Tensor {
    let shape: Vec<i64> = array
        .shape
        .iter()
        .map(|&length| i64::try_from(length).unwrap())
        .collect();
    Tensor::from_slice(&array.values).reshape(shape)
}

/// Every architecture, square and not, at odd sizes too: SAME padding puts the odd row at the bottom.
#[test]
fn every_backbone_computes_what_the_published_code_computes() {
    for encoder in encoders() {
        let spec: ResNetSpec = encoder.arch.parse().unwrap();
        let mut network = generated(spec, encoder.seed);
        for case in &encoder.cases {
            let features = no_grad(|| network.features(&images(&case.images), Mode::Evaluate));
            let embedding = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
            let what = format!("{spec} {:?}", case.images.shape);
            assert_close(
                &what,
                &embedding,
                &expected(&case.outputs["embedding"]),
                1e-4,
            );
            if let Some(c5) = case.outputs.get("c5") {
                assert_close(&what, &features, &expected(c5), 1e-4);
            }
        }
    }
}

/// Symmetric padding and identity shortcuts, against torchvision itself.
#[test]
fn every_backbone_of_torchvision_computes_what_torchvision_computes() {
    for golden in torch_networks() {
        let model = imported_from_torch(&golden.arch, golden.seed);
        let spec = model.manifest().spec;
        let bytes = std::fs::read(model.path().join("model.safetensors")).unwrap();
        let any = HeadSpec {
            hidden: 8,
            projection: 4,
            classes: 3,
            predictor: Predictor::Absent,
        };
        let mut network = Network::new(spec, any, 0, Device::Cpu);
        let checkpoint = Checkpoint::from_bytes(spec, &bytes).unwrap();
        network.load_backbone(&checkpoint).unwrap();
        for case in &golden.cases {
            let features = no_grad(|| network.features(&images(&case.images), Mode::Evaluate));
            let embedding = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
            let what = format!("{spec} {:?}", case.images.shape);
            let expect = expected(&case.outputs["embedding"]);
            assert_close(&what, &embedding, &expect, 1e-5);
            if let Some(c5) = case.outputs.get("c5") {
                assert_close(&what, &features, &expected(c5), 1e-5);
            }
        }
    }
}

#[test]
fn a_checkpoint_and_heads_come_out_as_they_went_in() {
    for encoder in encoders()
        .iter()
        .filter(|it| it.arch == "tiny" || it.arch.ends_with("v2"))
    {
        let spec: ResNetSpec = encoder.arch.parse().unwrap();
        let source = generated(spec, encoder.seed);
        let checkpoint = source.checkpoint().unwrap();
        let bytes = checkpoint.to_bytes().unwrap();
        let read = Checkpoint::from_bytes(spec, &bytes).unwrap();
        let mut network = Network::new(spec, heads(spec), 3, Device::Cpu);
        assert_ne!(network.checkpoint().unwrap(), checkpoint);
        network.load_backbone(&read).unwrap();
        network.load_heads(&source.head_tensors()).unwrap();
        assert_eq!(network.checkpoint().unwrap(), checkpoint);
        assert_eq!(network.head_tensors(), source.head_tensors());
    }
}

#[test]
fn what_is_no_part_of_the_network_is_refused_by_name() {
    let spec: ResNetSpec = "tiny".parse().unwrap();
    let heads = HeadSpec {
        hidden: 4,
        projection: 2,
        classes: 3,
        predictor: Predictor::Absent,
    };
    let mut network = Network::new(spec, heads, 0, Device::Cpu);
    let other = Network::new("resnet18".parse().unwrap(), heads, 0, Device::Cpu);
    let error = network
        .load_backbone(&other.checkpoint().unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the checkpoint is a resnet18, the network a tiny"
    );
    let with_predictor = HeadSpec {
        predictor: Predictor::Present,
        ..heads
    };
    let surplus = Network::new(spec, with_predictor, 0, Device::Cpu).head_tensors();
    let error = network.load_heads(&surplus).unwrap_err().to_string();
    assert!(
        error.contains("surplus [\"predictor.batch_norm.bias\""),
        "{error}"
    );
    let mut missing = network.head_tensors();
    missing.remove("classifier.bias");
    let error = network.load_heads(&missing).unwrap_err().to_string();
    assert!(error.contains("missing [\"classifier.bias\"]"), "{error}");
}
