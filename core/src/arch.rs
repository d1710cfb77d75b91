//! The networks: `ResNetSpec`, what it is made of, and the one table of its parameters.
//!
//! Everything that needs to know a layer's name, shape, stride or order reads it from here: the loader, the
//! ONNX writer, the reference forward pass, the trainer and the layout checks.
//!
//! Source: `ResNet`, `BlockV1`, `BlockV2` of dm-haiku 0.0.11 (`nets/resnet.py`) as `ResNetTorso` and
//! `TinyResNet` in the published `utils/networks.py` use them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod params;

pub use params::{BatchNormField, HaikuName, Param, ParamKind};

/// Width of the stem (`initial_conv`) before the width multiplier.
const STEM_CHANNELS: usize = 64;
/// Side of the stem's kernel; its stride is 2, and a 3×3 max pool of stride 2 follows it.
const STEM_KERNEL: usize = 7;
/// Largest width multiplier: beyond it ResNet-200 no longer fits an ONNX file (2 GiB).
const MAX_WIDTH: usize = 4;

/// Added to the variance in every batch norm (upstream's `bn_config`).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Subtracted from each channel (RGB, in [0, 1]) of the input: upstream's `MEAN_RGB`.
pub const INPUT_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// What each channel of the input is then divided by: upstream's `STDDEV_RGB`.
pub const INPUT_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Pixels of input a cell of the last stage stands for.
pub const STRIDE: usize = 32;

/// How deep the network is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Upstream's `TinyResNet`, for tests: four basic blocks of 8 channels.
    Tiny,
    /// `ResNet-18`: basic blocks.
    ResNet18,
    /// `ResNet-34`: basic blocks.
    ResNet34,
    /// `ResNet-50`: bottleneck blocks.
    ResNet50,
    /// `ResNet-101`: bottleneck blocks.
    ResNet101,
    /// `ResNet-152`: bottleneck blocks.
    ResNet152,
    /// `ResNet-200`: bottleneck blocks.
    ResNet200,
}

impl Depth {
    /// Every depth, smallest first.
    pub const ALL: [Self; 7] = [
        Self::Tiny,
        Self::ResNet18,
        Self::ResNet34,
        Self::ResNet50,
        Self::ResNet101,
        Self::ResNet152,
        Self::ResNet200,
    ];

    /// Blocks in each of the four groups.
    #[must_use]
    pub const fn blocks(self) -> [usize; 4] {
        match self {
            Self::Tiny => [1, 1, 1, 1],
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => [3, 4, 6, 3],
            Self::ResNet101 => [3, 4, 23, 3],
            Self::ResNet152 => [3, 8, 36, 3],
            Self::ResNet200 => [3, 24, 36, 3],
        }
    }

    /// Whether blocks are bottlenecks (1×1, 3×3, 1×1) rather than basic (3×3, 3×3).
    #[must_use]
    pub const fn bottleneck(self) -> bool {
        match self {
            Self::Tiny | Self::ResNet18 | Self::ResNet34 => false,
            Self::ResNet50 | Self::ResNet101 | Self::ResNet152 | Self::ResNet200 => true,
        }
    }

    /// Output channels of each group before the width multiplier.
    #[must_use]
    pub const fn channels(self) -> [usize; 4] {
        match self {
            Self::Tiny => [8, 8, 8, 8],
            Self::ResNet18 | Self::ResNet34 => [64, 128, 256, 512],
            Self::ResNet50 | Self::ResNet101 | Self::ResNet152 | Self::ResNet200 => {
                [256, 512, 1024, 2048]
            }
        }
    }

    /// The name that users and manifests write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
            Self::ResNet101 => "resnet101",
            Self::ResNet152 => "resnet152",
            Self::ResNet200 => "resnet200",
        }
    }

    /// The name of the network's haiku module.
    #[must_use]
    pub const fn haiku_module(self) -> &'static str {
        match self {
            Self::Tiny => "tiny_res_net",
            Self::ResNet18 => "res_net18",
            Self::ResNet34 => "res_net34",
            Self::ResNet50 => "res_net50",
            Self::ResNet101 => "res_net101",
            Self::ResNet152 => "res_net152",
            Self::ResNet200 => "res_net200",
        }
    }
}

/// Where features are taken: the end of one of the four groups of blocks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Stride 4.
    C2,
    /// Stride 8.
    C3,
    /// Stride 16.
    C4,
    /// Stride 32: what embeddings are pooled from.
    C5,
}

impl Stage {
    /// Every stage, finest first.
    pub const ALL: [Self; 4] = [Self::C2, Self::C3, Self::C4, Self::C5];

    /// Its name, in graphs and in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::C2 => "c2",
            Self::C3 => "c3",
            Self::C4 => "c4",
            Self::C5 => "c5",
        }
    }

    /// Pixels of input that a cell stands for.
    #[must_use]
    pub const fn stride(self) -> usize {
        match self {
            Self::C2 => 4,
            Self::C3 => 8,
            Self::C4 => 16,
            Self::C5 => STRIDE,
        }
    }
}

impl FromStr for Stage {
    type Err = StageError;

    fn from_str(text: &str) -> Result<Self, StageError> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.name() == text)
            .ok_or(StageError)
    }
}

/// No stage is called that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of c2, c3, c4 and c5")]
pub struct StageError;

/// Which order a block computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Convolution, batch norm, ReLU (He et al. 2015).
    V1,
    /// Batch norm, ReLU, convolution (pre-activation, He et al. 2016), with one more batch norm at the end.
    V2,
}

/// A backbone: what decides every parameter's name and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "SpecFields", try_from = "SpecFields")]
#[schemars(with = "SpecFields")]
pub struct ResNetSpec {
    depth: Depth,
    width: usize,
    version: Version,
}

/// How a spec is written in a manifest.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpecFields {
    /// Depth of the network.
    arch: Depth,
    /// Width multiplier: every channel count of the backbone is multiplied by it.
    width: usize,
    /// Whether blocks are pre-activation (v2).
    pre_activation: bool,
}

impl From<ResNetSpec> for SpecFields {
    fn from(spec: ResNetSpec) -> Self {
        Self {
            arch: spec.depth,
            width: spec.width,
            pre_activation: spec.version == Version::V2,
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
        Self::new(fields.arch, fields.width, version)
    }
}

/// Why there is no such network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The width multiplier is outside 1 to 4.
    #[error("a width multiplier of {width} is not supported: give 1 to {MAX_WIDTH}")]
    Width {
        /// What was asked for.
        width: usize,
    },
    /// No architecture is called that.
    #[error(
        "no architecture is called {name:?}: give tiny, resnet18, 34, 50, 101, 152 or 200, then x2 … x4 for a \
         width multiplier and v2 for pre-activation, as in resnet50x2 or resnet50v2"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
}

/// One convolution: its kernel is square, its padding is SAME and it has no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between outputs, the same both ways.
    pub stride: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

/// One residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Group, from 0; group g ends in stage c(g+2).
    pub group: usize,
    /// Place in the group, from 0.
    pub index: usize,
    /// The convolutions on the residual path, in order.
    pub convs: Vec<Conv>,
    /// The 1×1 convolution on the shortcut, in the first block of each group.
    pub shortcut: Option<Conv>,
}

impl ResNetSpec {
    /// A network of `depth`, with every channel count of the backbone times `width` (1 to 4).
    pub const fn new(depth: Depth, width: usize, version: Version) -> Result<Self, SpecError> {
        if width == 0 || width > MAX_WIDTH {
            return Err(SpecError::Width { width });
        }
        Ok(Self {
            depth,
            width,
            version,
        })
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

    /// The stem's convolution, before the max pool.
    #[must_use]
    pub const fn stem(self) -> Conv {
        Conv {
            kernel: STEM_KERNEL,
            stride: 2,
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

    /// Length of the pooled embedding: the channels of c5.
    #[must_use]
    pub fn embedding_size(self) -> usize {
        self.stage_channels()[3]
    }

    /// Every block, in order of computation.
    #[must_use]
    pub fn blocks(self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut inputs = self.stem().outputs;
        for (group, (count, outputs)) in self
            .depth
            .blocks()
            .into_iter()
            .zip(self.stage_channels())
            .enumerate()
        {
            for index in 0..count {
                let first = index == 0;
                let stride = if first && group > 0 { 2 } else { 1 };
                let shortcut = first.then_some(Conv {
                    kernel: 1,
                    stride,
                    inputs,
                    outputs,
                });
                blocks.push(Block {
                    group,
                    index,
                    convs: self.residual(inputs, outputs, stride),
                    shortcut,
                });
                inputs = outputs;
            }
        }
        blocks
    }

    /// The convolutions of a block. Bottlenecks put the stride in the 3×3 convolution, basic blocks in the first.
    fn residual(self, inputs: usize, outputs: usize, stride: usize) -> Vec<Conv> {
        if self.depth.bottleneck() {
            let inner = outputs / 4;
            vec![
                Conv {
                    kernel: 1,
                    stride: 1,
                    inputs,
                    outputs: inner,
                },
                Conv {
                    kernel: 3,
                    stride,
                    inputs: inner,
                    outputs: inner,
                },
                Conv {
                    kernel: 1,
                    stride: 1,
                    inputs: inner,
                    outputs,
                },
            ]
        } else {
            vec![
                Conv {
                    kernel: 3,
                    stride,
                    inputs,
                    outputs,
                },
                Conv {
                    kernel: 3,
                    stride: 1,
                    inputs: outputs,
                    outputs,
                },
            ]
        }
    }
}

impl fmt::Display for ResNetSpec {
    /// As users write it: `resnet50`, `resnet50x2`, `resnet50v2`, `resnet50x2v2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.depth.name())?;
        if self.width != 1 {
            write!(f, "x{}", self.width)?;
        }
        match self.version {
            Version::V1 => Ok(()),
            Version::V2 => f.write_str("v2"),
        }
    }
}

impl FromStr for ResNetSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let unknown = || SpecError::Name {
            name: text.to_owned(),
        };
        let (rest, version) = match text.strip_suffix("v2") {
            Some(rest) => (rest, Version::V2),
            None => (text, Version::V1),
        };
        let (name, width) = match rest.split_once('x') {
            Some((name, width)) => (name, width.parse().map_err(|_| unknown())?),
            None => (rest, 1),
        };
        let depth = Depth::ALL
            .into_iter()
            .find(|depth| depth.name() == name)
            .ok_or_else(unknown)?;
        Self::new(depth, width, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_the_network_that_wrote_it() {
        for depth in Depth::ALL {
            for width in 1..=MAX_WIDTH {
                for version in [Version::V1, Version::V2] {
                    let spec = ResNetSpec::new(depth, width, version).unwrap();
                    assert_eq!(spec.to_string().parse(), Ok(spec));
                    let json = serde_json::to_string(&spec).unwrap();
                    assert_eq!(serde_json::from_str::<ResNetSpec>(&json).unwrap(), spec);
                }
            }
        }
    }

    #[test]
    fn names_of_no_network_are_refused() {
        for name in [
            "",
            "resnet",
            "resnet51",
            "resnet50x0",
            "resnet50x9",
            "resnet50x",
            "resnet50v3",
            "v2",
            "x2",
        ] {
            assert!(name.parse::<ResNetSpec>().is_err(), "{name} was accepted");
        }
    }
}
