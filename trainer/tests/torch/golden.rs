//! Golden tensors as libtorch's, and how far apart two are.

use detcon_core::arch::ResNetSpec;
use detcon_core::names::{Destination, HaikuNames, Transform};
use detcon_tests::golden::{Array, Tensors, directory};
use detcon_trainer::network::{Averages, HeadSpec, MovingAverage, Network, Predictor, Weights};
use serde_json::Value;
use tch::{Kind, Tensor};

/// Updates of every moving average that the golden generator writes (`counter` in `make_checkpoint.py`).
const GENERATED_UPDATES: i64 = 100;

/// A file of `objective/`.
pub(crate) fn objective(name: &str) -> Tensors {
    Tensors::open(&directory().join("objective").join(name))
}

/// An array as a tensor.
pub(crate) fn shaped<T: tch::kind::Element>(array: &Array<T>) -> Tensor {
    let shape: Vec<i64> = array
        .shape
        .iter()
        .map(|&length| i64::try_from(length).unwrap())
        .collect();
    Tensor::from_slice(&array.values).reshape(shape)
}

/// A float32 tensor of a golden file.
pub(crate) fn float(file: &Tensors, name: &str) -> Tensor {
    shaped(&file.f32(name).unwrap_or_else(|| panic!("no {name}")))
}

/// An int32 tensor of a golden file, as int64.
pub(crate) fn integer(file: &Tensors, name: &str) -> Tensor {
    shaped(&file.i32(name).unwrap_or_else(|| panic!("no {name}"))).to_kind(Kind::Int64)
}

/// A uint8 tensor of a golden file.
pub(crate) fn byte(file: &Tensors, name: &str) -> Tensor {
    shaped(&file.u8(name).unwrap_or_else(|| panic!("no {name}")))
}

/// An entry of the metadata, parsed.
pub(crate) fn setting<T: std::str::FromStr>(file: &Tensors, key: &str) -> T {
    let text = file.metadata(key);
    text.parse().unwrap_or_else(|_| panic!("{key} is {text}"))
}

/// An entry of the metadata that is JSON.
pub(crate) fn json(file: &Tensors, key: &str) -> Value {
    serde_json::from_str(file.metadata(key)).unwrap()
}

/// Largest difference; as a share of the largest expected magnitude, where that is above `zero`.
pub(crate) fn difference(found: &Tensor, expected: &Tensor, zero: f64) -> f64 {
    assert_eq!(found.size(), expected.size());
    let largest = expected.abs().max().double_value(&[]);
    let worst = (found - expected).abs().max().double_value(&[]);
    if largest > zero {
        worst / largest
    } else {
        worst
    }
}

/// Fails where a number is further than `tolerance`, relative, from what the published code gave (1e-6 where it is 0).
pub(crate) fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs();
    let allowed = (tolerance * expected.abs()).max(1e-6);
    assert!(error <= allowed, "{what}: {found} instead of {expected}");
}

/// Where haiku's tensors go in a network, and how they get there.
pub(crate) struct Names(HaikuNames);

impl Names {
    pub(crate) fn new(spec: ResNetSpec) -> Self {
        Self(HaikuNames::new(spec))
    }

    /// The name in a network of haiku's `MODULE/NAME`, and the tensor in its layout.
    pub(crate) fn place(&self, key: &str, tensor: &Tensor) -> (String, Tensor) {
        let (module, name) = key.rsplit_once('/').unwrap();
        match self.0.destination(module, name).unwrap() {
            Destination::Backbone { name, transform } | Destination::Head { name, transform } => {
                (name, transformed(tensor, transform))
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

fn transformed(tensor: &Tensor, transform: Transform) -> Tensor {
    match transform {
        Transform::Identity => tensor.copy(),
        Transform::HwioToOihw => tensor.permute([3, 2, 0, 1]).contiguous(),
        Transform::Transpose => tensor.tr().contiguous(),
        Transform::DropLeadingOnes => tensor.flatten(0, -1),
        Transform::Fresh => panic!("nothing of a golden file is fresh"),
    }
}

/// The heads of a network of `layouts/`.
pub(crate) fn heads(spec: ResNetSpec) -> HeadSpec {
    let path = directory().join("layouts").join(format!("{spec}.json"));
    let layout: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let size = |key: &str| usize::try_from(layout[key].as_u64().unwrap()).unwrap();
    HeadSpec {
        hidden: size("mlp_hidden_size"),
        projection: size("projection_size"),
        classes: size("num_classes"),
        predictor: Predictor::Present,
    }
}

/// The golden generator's network, in the midst of training: every moving average after `updates`.
pub(crate) fn generated(spec: ResNetSpec, seed: u64) -> Network {
    let file = detcon_tests::golden::generator_tensors(&spec.to_string(), seed);
    let names = Names::new(spec);
    let (mut weights, mut averages) = (Weights::new(), Averages::new());
    for key in file.names() {
        let tensor = float(&file, &key);
        if let Some(module) = key.strip_suffix("/hidden") {
            let (name, hidden) = names.place(&format!("{module}/average"), &tensor);
            averages.insert(name, MovingAverage::resumed(hidden, GENERATED_UPDATES));
        } else if !key.ends_with("/average") {
            weights.extend([names.place(&key, &tensor)]);
        }
    }
    Network::from_parts(spec, heads(spec), weights, averages).unwrap()
}
