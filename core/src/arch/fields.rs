//! How a spec is written in manifests and ledgers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BATCH_NORM_EPSILON, Depth, FirstShortcut, Normalization, Padding, ResNetSpec, STRIDE,
    SpecError, StrideIn, Version,
};

/// A spec, part by part. What the first version of the format left out is what every network of its time had.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpecFields {
    /// Depth of the network.
    arch: Depth,
    /// Width multiplier: every channel count of the backbone is multiplied by it.
    width: usize,
    /// Whether blocks are pre-activation (v2).
    pre_activation: bool,
    /// Width multiplier of the inner channels of bottlenecks alone.
    #[serde(default = "one")]
    bottleneck_width: usize,
    /// The shortcut of the first block, where its blocks are basic.
    #[serde(default = "projection")]
    first_shortcut: FirstShortcut,
    /// Where padding goes.
    #[serde(default = "same")]
    padding: Padding,
    /// Which convolution of a bottleneck has the block's stride.
    #[serde(default = "in_3x3")]
    stride_in: StrideIn,
    /// Pixels of input that a cell of c5 stands for: 32, or 16 or 8 by dilation.
    #[serde(default = "undilated")]
    output_stride: usize,
    /// Added to the variance in every batch norm.
    #[serde(default = "published_epsilon")]
    epsilon: f64,
    /// From pixels to what the stem reads.
    #[serde(default = "imagenet")]
    normalization: Normalization,
}

const fn one() -> usize {
    1
}

const fn projection() -> FirstShortcut {
    FirstShortcut::Projection
}

const fn same() -> Padding {
    Padding::Same
}

const fn in_3x3() -> StrideIn {
    StrideIn::Conv3x3
}

const fn undilated() -> usize {
    STRIDE
}

const fn published_epsilon() -> f64 {
    BATCH_NORM_EPSILON
}

const fn imagenet() -> Normalization {
    Normalization::IMAGENET
}

impl From<ResNetSpec> for SpecFields {
    fn from(spec: ResNetSpec) -> Self {
        Self {
            arch: spec.depth(),
            width: spec.width(),
            pre_activation: spec.version() == Version::V2,
            bottleneck_width: spec.bottleneck_width(),
            first_shortcut: spec.first_shortcut(),
            padding: spec.padding(),
            stride_in: spec.stride_in(),
            output_stride: spec.output_stride(),
            epsilon: spec.epsilon(),
            normalization: spec.normalization(),
        }
    }
}

impl TryFrom<SpecFields> for ResNetSpec {
    type Error = SpecError;

    fn try_from(fields: SpecFields) -> Result<Self, SpecError> {
        let version = if fields.pre_activation {
            Version::V2
        } else {
            Version::V1
        };
        Ok(Self::new(fields.arch, fields.width, version)?
            .with_bottleneck_width(fields.bottleneck_width)?
            .with_first_shortcut(fields.first_shortcut)?
            .with_stride_in(fields.stride_in)?
            .with_output_stride(fields.output_stride)?
            .with_epsilon(fields.epsilon)?
            .with_padding(fields.padding)
            .with_normalization(fields.normalization))
    }
}
