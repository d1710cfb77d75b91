//! Depths: how many blocks of which kind, and what each depth is called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
