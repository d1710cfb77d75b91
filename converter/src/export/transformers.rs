//! Hugging Face transformers' `ResNetModel`: weights as safetensors, `config.json`, and what its image processors read.
//!
//! Source: `ResNetModel` of transformers' `models/resnet/modeling_resnet.py`, `ResNetConfig` of
//! `models/resnet/configuration_resnet.py`, `ConvNextImageProcessor` (which `microsoft/resnet-50` names).

use std::borrow::Cow;
use std::path::Path;

use detcon_core::arch::{Normalization, ResNetSpec, StrideIn};
use detcon_core::checkpoint::Checkpoint;
use safetensors::SafeTensorError;
use serde_json::{Value, json};

use super::state_dict;

/// The file that its image processors read.
pub(super) const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
/// PIL's number for bicubic, as image processors write it.
const BICUBIC: u32 = 3;
/// Side of the crop as a share of the resized image's shorter side.
const CROP: f64 = 0.875;

/// Writes the weights to `path`, tensor by tensor.
pub(super) fn write(checkpoint: &Checkpoint, path: &Path) -> Result<(), SafeTensorError> {
    let entries = state_dict::entries(checkpoint, name, |_, tensor| Cow::Borrowed(tensor));
    state_dict::write(entries, checkpoint.spec(), path)
}

/// `config.json`.
pub(super) fn config(spec: ResNetSpec) -> Value {
    json!({
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": spec.stem().outputs,
        "hidden_sizes": spec.stage_channels(),
        "depths": spec.depth().blocks(),
        "layer_type": if spec.depth().bottleneck() { "bottleneck" } else { "basic" },
        "hidden_act": "relu",
        "downsample_in_first_stage": false,
        "downsample_in_bottleneck": spec.stride_in() == StrideIn::Conv1x1,
        "dtype": "float32",
    })
}

/// `preprocessor_config.json` for images of `size` pixels.
pub(super) fn preprocessor_config(spec: ResNetSpec, size: u32) -> Value {
    let divisor = Normalization::IMAGENET.divisor();
    let normalization = spec.normalization().of_pixels_over(divisor);
    json!({
        "image_processor_type": "ConvNextImageProcessor",
        "do_resize": true,
        "size": {"shortest_edge": size},
        "crop_pct": CROP,
        "resample": BICUBIC,
        "do_rescale": true,
        "rescale_factor": 1.0 / divisor,
        "do_normalize": true,
        "image_mean": normalization.mean(),
        "image_std": normalization.std(),
    })
}

/// `layer1.0.bn2.weight` → `encoder.stages.0.layers.0.layer.1.normalization.weight`.
fn name(torchvision: &str) -> String {
    let parts: Vec<&str> = torchvision.split('.').collect();
    let part = |kind: &str| match kind {
        "conv" | "downsample.0" => "convolution",
        _ => "normalization",
    };
    let numbered = |module: &str| {
        let number: usize = module
            .trim_start_matches(|it: char| !it.is_ascii_digit())
            .parse()
            .ok()?;
        Some((
            module
                .trim_end_matches(|it: char| it.is_ascii_digit())
                .to_owned(),
            number,
        ))
    };
    match *parts.as_slice() {
        [group, block, "downsample", place, field] => {
            let stage = numbered(group).map_or(0, |(_, number)| number - 1);
            let part = part(&format!("downsample.{place}"));
            format!("encoder.stages.{stage}.layers.{block}.shortcut.{part}.{field}")
        }
        [group, block, module, field] => {
            let stage = numbered(group).map_or(0, |(_, number)| number - 1);
            let (kind, number) = numbered(module).unwrap_or_default();
            let part = part(&kind);
            format!(
                "encoder.stages.{stage}.layers.{block}.layer.{}.{part}.{field}",
                number - 1
            )
        }
        [module, field] => {
            let (kind, _) = numbered(module).unwrap_or_default();
            format!("embedder.embedder.{}.{field}", part(&kind))
        }
        _ => torchvision.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `ResNetModel.state_dict()` lists them.
    #[test]
    fn names_are_transformers() {
        for (ours, theirs) in [
            ("conv1.weight", "embedder.embedder.convolution.weight"),
            (
                "bn1.running_mean",
                "embedder.embedder.normalization.running_mean",
            ),
            (
                "layer1.0.conv1.weight",
                "encoder.stages.0.layers.0.layer.0.convolution.weight",
            ),
            (
                "layer3.5.bn3.running_var",
                "encoder.stages.2.layers.5.layer.2.normalization.running_var",
            ),
            (
                "layer4.0.downsample.0.weight",
                "encoder.stages.3.layers.0.shortcut.convolution.weight",
            ),
            (
                "layer4.0.downsample.1.bias",
                "encoder.stages.3.layers.0.shortcut.normalization.bias",
            ),
        ] {
            assert_eq!(name(ours), theirs);
        }
    }
}
