//! `ResNetSpec`: everything that makes a network that network, weights aside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::choice;
use super::fields::SpecFields;
use super::{BATCH_NORM_EPSILON, Conv, Depth, Normalization, Padding, STRIDE, SpecError, Stage};

/// Width of the stem (`initial_conv`) before the width multiplier.
const STEM_CHANNELS: usize = 64;
/// Side of the stem's kernel; its stride is 2, and a 3×3 max pool of stride 2 follows it.
const STEM_KERNEL: usize = 7;
/// Largest width multiplier, of all channels or of the bottlenecks': beyond it `ResNet-200` no longer fits an ONNX file
/// (2 GiB).
pub(super) const MAX_WIDTH: usize = 4;
/// What a network may shrink its input by.
pub(super) const OUTPUT_STRIDES: [usize; 3] = [8, 16, STRIDE];
/// Largest epsilon: batch norms divide by the root of the variance, which is about 1, and this.
const MAX_EPSILON: f64 = 1.0;

/// Which order a block computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Convolution, batch norm, `ReLU` (He et al. 2015).
    V1,
    /// Batch norm, `ReLU`, convolution (pre-activation, He et al. 2016), with one more batch norm at the end.
    V2,
}

choice! {
    /// The shortcut of the very first block, where basic blocks leave the choice: its input has as many channels as its
    /// output.
    pub enum FirstShortcut {
        /// A 1×1 convolution and a batch norm, as in every group (dm-haiku's `BlockGroup`: `use_projection=(i == 0)`).
        Projection = "projection",
        /// Nothing (torchvision's `_make_layer`: no `downsample` where stride and channels stay).
        Identity = "identity",
    }
}

choice! {
    /// Which convolution of a bottleneck has the block's stride.
    pub enum StrideIn {
        /// The 3×3 (dm-haiku's `BlockV1`, torchvision's `Bottleneck`).
        Conv3x3 = "3x3",
        /// The first 1×1, as in the original networks (Detectron2's `STRIDE_IN_1X1`).
        Conv1x1 = "1x1",
    }
}

/// A backbone: what decides every parameter's name and shape, and what is computed with them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "SpecFields", try_from = "SpecFields")]
#[schemars(with = "SpecFields")]
pub struct ResNetSpec {
    depth: Depth,
    width: usize,
    version: Version,
    bottleneck_width: usize,
    first_shortcut: FirstShortcut,
    padding: Padding,
    stride_in: StrideIn,
    output_stride: usize,
    epsilon: f64,
    normalization: Normalization,
}

/// No part of it is NaN: [`ResNetSpec::with_epsilon`] refuses it.
impl Eq for ResNetSpec {}

impl ResNetSpec {
    /// A network of `depth` as the published code builds it, with every channel count times `width` (1 to 4).
    pub const fn new(depth: Depth, width: usize, version: Version) -> Result<Self, SpecError> {
        if width == 0 || width > MAX_WIDTH {
            return Err(SpecError::Width { width });
        }
        Ok(Self::as_published(depth, width, version))
    }

    const fn as_published(depth: Depth, width: usize, version: Version) -> Self {
        Self {
            depth,
            width,
            version,
            bottleneck_width: 1,
            first_shortcut: FirstShortcut::Projection,
            padding: Padding::Same,
            stride_in: StrideIn::Conv3x3,
            output_stride: STRIDE,
            epsilon: BATCH_NORM_EPSILON,
            normalization: Normalization::IMAGENET,
        }
    }

    /// The same with bottlenecks `width` times as wide inside: 2 for `wide_resnet50_2`.
    pub const fn with_bottleneck_width(self, width: usize) -> Result<Self, SpecError> {
        if width == 0 || width > MAX_WIDTH {
            return Err(SpecError::Width { width });
        }
        if width > 1 && !self.depth.bottleneck() {
            return Err(SpecError::NoBottleneck {
                depth: self.depth,
                what: "wider ones",
            });
        }
        Ok(Self {
            bottleneck_width: width,
            ..self
        })
    }

    /// The same with another first shortcut.
    pub const fn with_first_shortcut(self, shortcut: FirstShortcut) -> Result<Self, SpecError> {
        let [channels, ..] = self.depth.channels();
        if matches!(shortcut, FirstShortcut::Identity) && channels != STEM_CHANNELS {
            return Err(SpecError::NoIdentity { depth: self.depth });
        }
        Ok(Self {
            first_shortcut: shortcut,
            ..self
        })
    }

    /// The same under another padding.
    #[must_use]
    pub const fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// The same with strides in another convolution of its bottlenecks.
    pub const fn with_stride_in(self, stride_in: StrideIn) -> Result<Self, SpecError> {
        if matches!(stride_in, StrideIn::Conv1x1) && !self.depth.bottleneck() {
            return Err(SpecError::NoBottleneck {
                depth: self.depth,
                what: "a 1x1 with a stride",
            });
        }
        Ok(Self { stride_in, ..self })
    }

    /// The same with its last stages dilated where they would shrink their input further.
    pub fn with_output_stride(self, output_stride: usize) -> Result<Self, SpecError> {
        if !OUTPUT_STRIDES.contains(&output_stride) {
            return Err(SpecError::OutputStride { output_stride });
        }
        Ok(Self {
            output_stride,
            ..self
        })
    }

    /// The same with another epsilon in its batch norms.
    pub fn with_epsilon(self, epsilon: f64) -> Result<Self, SpecError> {
        if !(epsilon > 0.0 && epsilon <= MAX_EPSILON) {
            return Err(SpecError::Epsilon { epsilon });
        }
        Ok(Self { epsilon, ..self })
    }

    /// The same for pixels that are normalised otherwise.
    #[must_use]
    pub const fn with_normalization(self, normalization: Normalization) -> Self {
        Self {
            normalization,
            ..self
        }
    }

    /// The published code's network of this depth, width and version.
    #[must_use]
    pub const fn published(self) -> Self {
        Self::as_published(self.depth, self.width, self.version)
    }

    /// The same of which only depth, widths, version and first shortcut are kept: what names and shapes of parameters
    /// tell.
    #[must_use]
    pub fn architecture(self) -> Self {
        Self {
            bottleneck_width: self.bottleneck_width,
            first_shortcut: self.first_shortcut,
            ..self.published()
        }
    }

    /// How deep it is.
    #[must_use]
    pub const fn depth(self) -> Depth {
        self.depth
    }

    /// The width multiplier.
    #[must_use]
    pub const fn width(self) -> usize {
        self.width
    }

    /// Which order its blocks compute in.
    #[must_use]
    pub const fn version(self) -> Version {
        self.version
    }

    /// How many times as wide as usual its bottlenecks are inside.
    #[must_use]
    pub const fn bottleneck_width(self) -> usize {
        self.bottleneck_width
    }

    /// The shortcut of its first block.
    #[must_use]
    pub const fn first_shortcut(self) -> FirstShortcut {
        self.first_shortcut
    }

    /// Where padding goes.
    #[must_use]
    pub const fn padding(self) -> Padding {
        self.padding
    }

    /// Which convolution of a bottleneck has the block's stride.
    #[must_use]
    pub const fn stride_in(self) -> StrideIn {
        self.stride_in
    }

    /// Pixels of input that a cell of c5 stands for: 32, or 16 or 8 by dilation.
    #[must_use]
    pub const fn output_stride(self) -> usize {
        self.output_stride
    }

    /// Added to the variance in every batch norm.
    #[must_use]
    pub const fn epsilon(self) -> f64 {
        self.epsilon
    }

    /// How its input is normalised.
    #[must_use]
    pub const fn normalization(self) -> Normalization {
        self.normalization
    }

    /// The stem's convolution, before the max pool.
    #[must_use]
    pub const fn stem(self) -> Conv {
        Conv {
            kernel: STEM_KERNEL,
            stride: 2,
            dilation: 1,
            inputs: 3,
            outputs: STEM_CHANNELS * self.width,
        }
    }

    /// Channels of each stage c2 … c5.
    #[must_use]
    pub fn stage_channels(self) -> [usize; 4] {
        self.depth.channels().map(|channels| channels * self.width)
    }

    /// Channels of a stage.
    #[must_use]
    pub fn channels(self, stage: Stage) -> usize {
        let [c2, c3, c4, c5] = self.stage_channels();
        match stage {
            Stage::C2 => c2,
            Stage::C3 => c3,
            Stage::C4 => c4,
            Stage::C5 => c5,
        }
    }

    /// Pixels of input that a cell of a stage stands for.
    #[must_use]
    pub fn stride(self, stage: Stage) -> usize {
        stage.stride().min(self.output_stride)
    }

    /// Length of the pooled embedding: the channels of c5.
    #[must_use]
    pub fn embedding_size(self) -> usize {
        self.stage_channels()[3]
    }
}
