//! timm's `config.json`: written beside weights, so that timm builds the same network; read where it lies beside a state
//! dict, because names alone cannot tell all of timm's networks apart.

use std::path::Path;

use detcon_core::arch::{
    ChannelOrder, Depth, FirstShortcut, Normalization, ResNetSpec, StrideIn, Version,
};
use serde_json::{Value, json};

/// The file's name, and the longest that is read.
const CONFIG: &str = "config.json";
const MAX_BYTES: u64 = 1 << 20;

/// What timm's names of networks have in them that are no plain ResNets, and what that is.
///
/// Source: timm's `models/resnet.py` (`model_args` of each entry point), `models/resnetv2.py`, `models/regnet.py`.
const FAMILIES: [(&str, &str); 10] = [
    ("resnetaa", "it blurs where it strides (anti-aliasing)"),
    ("resnetblur", "it blurs where it strides (anti-aliasing)"),
    ("resnext", "its 3x3 convolutions have groups"),
    (
        "resnetv2",
        "its convolutions have standardised weights, its norms are GroupNorm (BiT)",
    ),
    ("seresnet", "it has squeeze-and-excitation"),
    ("ecaresnet", "it has channel attention (ECA)"),
    ("resnest", "it has split attention"),
    ("res2net", "its blocks are split by scale"),
    ("regnet", "it is a RegNet"),
    ("_gn", "its norms are GroupNorm"),
];

/// What ends timm's names of `ResNets` with another stem or shortcut: `resnet50d`, `resnet50c`, `resnet50s`, `resnet50t`.
const DEEP_STEMS: [&str; 6] = ["c", "d", "s", "t", "rs", "tn"];
const DEEP_STEM: &str = "its stem is three 3x3 convolutions";

/// Why a network of this name is none that is held here, where its name tells.
#[must_use]
pub(crate) fn not_held(name: &str) -> Option<&'static str> {
    let name = name.split('.').next().unwrap_or_default(); // a tag may follow
    if let Some((_, reason)) = FAMILIES.iter().find(|(part, _)| name.contains(part)) {
        return Some(reason);
    }
    let rest = name.strip_prefix("resnet")?;
    let suffix = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    (suffix.len() < rest.len() && DEEP_STEMS.contains(&suffix)).then_some(DEEP_STEM)
}

/// What timm calls a network that it has, or why it has none.
///
/// Padding aside: timm's is symmetric, and what that costs a network that was trained with SAME is told elsewhere.
pub(crate) fn architecture(spec: ResNetSpec) -> Result<String, &'static str> {
    if spec.version() == Version::V2 {
        return Err("it has no pre-activation ResNets of this kind");
    }
    if spec.depth() == Depth::Tiny {
        return Err("it has no such network");
    }
    if spec.width() > 1 {
        return Err("its wide ResNets widen the inner convolutions only");
    }
    if spec.stride_in() == StrideIn::Conv1x1 {
        return Err("its bottlenecks stride in the 3x3");
    }
    if !spec.depth().bottleneck() && spec.first_shortcut() == FirstShortcut::Projection {
        return Err(
            "its first shortcut is the identity, and this network's is a projection (layer1.0.downsample)",
        );
    }
    match (spec.depth(), spec.bottleneck_width()) {
        (depth, 1) => Ok(depth.name().to_owned()),
        (depth @ (Depth::ResNet50 | Depth::ResNet101), 2) => Ok(format!("wide_{}_2", depth.name())),
        _ => Err("it has no ResNet with bottlenecks of that width"),
    }
}

/// timm's configuration of a network for images of `size` pixels, where timm has it: one that reads red first and whose
/// batch norms have the usual epsilon, since it can say neither.
#[must_use]
pub fn config(spec: ResNetSpec, size: u32, license: Option<&str>) -> Option<Value> {
    let architecture = architecture(spec).ok()?;
    let usual = spec.epsilon().to_bits() == spec.published().epsilon().to_bits();
    if spec.normalization().channels() != ChannelOrder::Rgb || !usual {
        return None;
    }
    let stride = u32::try_from(spec.output_stride()).ok()?;
    // timm's images are in [0, 1].
    let normalization = spec
        .normalization()
        .of_pixels_over(Normalization::IMAGENET.divisor());
    let mut config = json!({
        "architecture": architecture,
        "num_classes": 0,
        "num_features": spec.embedding_size(),
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [3, size, size],
            "pool_size": [size.div_ceil(stride), size.div_ceil(stride)],
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            "fixed_input_size": false,
            "mean": normalization.mean(),
            "std": normalization.std(),
            "first_conv": "conv1",
            "classifier": "fc",
            "license": license,
        },
    });
    if spec.output_stride() != spec.published().output_stride() {
        config["model_args"] = json!({"output_stride": spec.output_stride()});
    }
    Some(config)
}

/// Why a configuration beside a state dict forbids to read it as a `ResNet`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The network is another.
    #[error(
        "config.json beside the file says that it is a {name}, which cannot be held: {reason} (--arch overrides what it \
         says)"
    )]
    Other {
        /// What it is called.
        name: String,
        /// What it has that `ResNets` have not.
        reason: String,
    },
    /// It is of timm's form, and something in it is not.
    #[error("config.json beside the file cannot be used: {detail}: mend it, or move it away")]
    Damaged {
        /// What is wrong.
        detail: String,
    },
}

/// What a configuration beside a state dict says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Configured {
    pub(crate) normalization: Option<Normalization>,
    pub(crate) output_stride: Option<usize>,
    pub(crate) stride_in: Option<StrideIn>,
}

/// What timm's configuration beside `file` says; nothing where there is none. With `trusted` the user says which
/// network it is.
pub(crate) fn beside(file: &Path, trusted: bool) -> Result<Configured, ConfigError> {
    let place = file.with_file_name(CONFIG);
    let short = place
        .metadata()
        .is_ok_and(|it| it.is_file() && it.len() <= MAX_BYTES);
    let Some(text) = short.then(|| std::fs::read(&place).ok()).flatten() else {
        return Ok(Configured::default());
    };
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let Some(name) = config["architecture"].as_str() else {
        return Ok(Configured::default()); // other software's
    };
    let bare = name.split('.').next().unwrap_or_default();
    if !trusted && let Some(reason) = not_held(name) {
        return Err(ConfigError::Other {
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
    }
    if !trusted && let Err(error) = bare.parse::<ResNetSpec>() {
        return Err(ConfigError::Other {
            name: name.to_owned(),
            reason: error.to_string(),
        });
    }
    read(&config)
}

fn read(config: &Value) -> Result<Configured, ConfigError> {
    let damaged = |detail: String| ConfigError::Damaged { detail };
    let three = |key: &str| -> Option<[f64; 3]> {
        let values = config["pretrained_cfg"][key].as_array()?;
        let values: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        values?.try_into().ok()
    };
    let normalization = match (three("mean"), three("std")) {
        (Some(mean), Some(std)) => {
            let divisor = Normalization::IMAGENET.divisor();
            let read = Normalization::new(divisor, mean, std, ChannelOrder::Rgb);
            Some(read.map_err(|error| damaged(error.to_string()))?)
        }
        _ => None,
    };
    let output_stride = match &config["model_args"]["output_stride"] {
        Value::Null => None,
        given => {
            let stride = given.as_u64().and_then(|it| usize::try_from(it).ok());
            Some(stride.ok_or_else(|| damaged(format!("an output stride of {given}")))?)
        }
    };
    Ok(Configured {
        normalization,
        output_stride,
        stride_in: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_only_look_like_resnets_are_known_by_name() {
        for name in [
            "resnetaa50",
            "resnetaa50d.sw_in12k",
            "resnetblur50",
            "resnext50_32x4d",
            "resnetv2_50x1_bit",
            "seresnet50",
            "ecaresnet50t",
            "resnest50d",
            "res2net50_26w_4s",
            "regnetx_002",
            "resnet50_gn",
            "resnet50d",
            "resnet50c",
            "resnet50s",
            "resnet50t",
            "resnetrs50",
        ] {
            let refused = not_held(name).is_some() || name.parse::<ResNetSpec>().is_err();
            assert!(refused, "{name}");
        }
        for name in [
            "resnet18",
            "resnet50.a1_in1k",
            "wide_resnet50_2",
            "resnet50x2",
        ] {
            assert_eq!(not_held(name), None, "{name}");
        }
    }

    #[test]
    fn a_configuration_says_what_it_was_written_for() {
        for name in [
            "resnet50+symmetric+os16+none",
            "resnet18+symmetric+identity",
        ] {
            let spec: ResNetSpec = name.parse().unwrap();
            let configured = read(&config(spec, 224, None).unwrap()).unwrap();
            assert_eq!(configured.normalization, Some(spec.normalization()));
            let stride = configured.output_stride.unwrap_or(32);
            assert_eq!(stride, spec.output_stride());
        }
        assert!(read(&json!({"pretrained_cfg": {"mean": [0, 0, 0], "std": [1, 0, 1]}})).is_err());
    }
}
