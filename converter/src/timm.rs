//! `config.json`: what timm needs to build the same network from the directory.

use detcon_core::arch::{Depth, INPUT_MEAN, INPUT_STD, ResNetSpec, Version};
use serde_json::{Value, json};

/// Pixels of the image in a cell of c5.
const STRIDE: u32 = 32;

/// timm's configuration of a network for images of `size` pixels, where timm has it: plain bottleneck ResNets of width 1.
///
/// timm's ResNet-18 and 34 have no projection on their first shortcut, its wide ones widen the inner convolutions
/// only, and its pre-activation ones name every tensor differently.
#[must_use]
pub fn config(spec: ResNetSpec, size: u32, license: Option<&str>) -> Option<Value> {
    let architecture = match (spec.depth(), spec.width(), spec.version()) {
        (
            Depth::ResNet50 | Depth::ResNet101 | Depth::ResNet152 | Depth::ResNet200,
            1,
            Version::V1,
        ) => spec.depth().name(),
        _ => return None,
    };
    Some(json!({
        "architecture": architecture,
        "num_classes": 0,
        "num_features": spec.embedding_size(),
        "pretrained_cfg": {
            "tag": "detcon",
            "num_classes": 0,
            "input_size": [3, size, size],
            "pool_size": [size.div_ceil(STRIDE), size.div_ceil(STRIDE)],
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            "fixed_input_size": false,
            "mean": INPUT_MEAN,
            "std": INPUT_STD,
            "first_conv": "conv1",
            "classifier": "fc",
            "license": license,
        },
    }))
}
