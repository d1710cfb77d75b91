//! The configuration of Hugging Face transformers beside weights: what it says of a network that names do not.
//!
//! Source: `ResNetConfig` of transformers' `models/resnet/configuration_resnet.py`; `ConvNextImageProcessor`, which
//! `microsoft/resnet-50` names, for `preprocessor_config.json`.

use std::path::Path;

use detcon_core::arch::{ChannelOrder, Normalization, StrideIn};
use serde_json::Value;

use crate::timm::{ConfigError, Configured};

/// The files' names, and the longest that is read.
const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const MAX_BYTES: u64 = 1 << 20;

/// What transformers' configuration beside `file` says; nothing where there is none, or another family's.
pub(crate) fn beside(file: &Path, trusted: bool) -> Result<Option<Configured>, ConfigError> {
    let config = json(&file.with_file_name(CONFIG));
    if config["model_type"] != "resnet" {
        return Ok(None);
    }
    if !trusted && let Some(reason) = not_held(&config) {
        return Err(ConfigError::Other {
            name: "ResNet of transformers".to_owned(),
            reason: reason.to_owned(),
        });
    }
    let inside = config["downsample_in_bottleneck"] == true;
    Ok(Some(Configured {
        normalization: normalization(&json(&file.with_file_name(PREPROCESSOR)))?,
        output_stride: None,
        stride_in: Some(if inside {
            StrideIn::Conv1x1
        } else {
            StrideIn::Conv3x3
        }),
    }))
}

fn json(path: &Path) -> Value {
    let short = path
        .metadata()
        .is_ok_and(|it| it.is_file() && it.len() <= MAX_BYTES);
    let text = short.then(|| std::fs::read(path).ok()).flatten();
    text.and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Why a network of this configuration is none that is held here.
fn not_held(config: &Value) -> Option<&'static str> {
    if config["downsample_in_first_stage"] == true {
        return Some("its first stage strides");
    }
    match config["hidden_act"].as_str() {
        None | Some("relu") => None,
        Some(_) => Some("its activation is not ReLU"),
    }
}

/// What its image processor does with pixels.
fn normalization(config: &Value) -> Result<Option<Normalization>, ConfigError> {
    if config.is_null() {
        return Ok(None);
    }
    let three = |key: &str| -> Option<[f64; 3]> {
        let values = config[key].as_array()?.iter().map(Value::as_f64);
        values.collect::<Option<Vec<f64>>>()?.try_into().ok()
    };
    let divisor = match (&config["do_rescale"], config["rescale_factor"].as_f64()) {
        (Value::Bool(false), _) => 1.0,
        (_, Some(factor)) => 1.0 / factor,
        (_, None) => Normalization::IMAGENET.divisor(),
    };
    let (mean, std) = match (
        &config["do_normalize"],
        three("image_mean"),
        three("image_std"),
    ) {
        (Value::Bool(false), ..) => ([0.0; 3], [1.0; 3]),
        (_, Some(mean), Some(std)) => (mean, std),
        _ => return Ok(None),
    };
    // 1/255 is no float: the reciprocal of the nearest one is 255 but for the last digit.
    let divisor = if (divisor - divisor.round()).abs() < 1e-9 {
        divisor.round()
    } else {
        divisor
    };
    let read = Normalization::new(divisor, mean, std, ChannelOrder::Rgb);
    read.map(Some).map_err(|error| ConfigError::Damaged {
        detail: format!("{PREPROCESSOR}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_image_processor_does_is_the_normalisation() {
        let read = |config: Value| normalization(&config).unwrap();
        let imagenet = json!({"rescale_factor": 1.0 / 255.0, "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225]});
        assert_eq!(read(imagenet), Some(Normalization::IMAGENET));
        assert_eq!(
            read(json!({"do_normalize": false})),
            Some(Normalization::NONE)
        );
        assert_eq!(read(Value::Null), None);
        assert!(normalization(&json!({"image_mean": [0, 0, 0], "image_std": [1, 0, 1]})).is_err());
    }

    #[test]
    fn a_network_that_only_its_configuration_gives_away_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        let config = |value: Value| {
            std::fs::write(folder.path().join(CONFIG), value.to_string()).unwrap();
            beside(&file, false)
        };
        assert!(
            config(json!({"model_type": "resnet", "downsample_in_first_stage": true})).is_err()
        );
        assert!(config(json!({"model_type": "resnet", "hidden_act": "gelu"})).is_err());
        assert_eq!(config(json!({"model_type": "vit"})).unwrap(), None);
        let inside = config(json!({"model_type": "resnet", "downsample_in_bottleneck": true}));
        assert_eq!(inside.unwrap().unwrap().stride_in, Some(StrideIn::Conv1x1));
    }
}
