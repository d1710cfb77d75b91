//! Stages: where features are taken.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Stride 16, unless dilation keeps it at 8.
    C4,
    /// Stride 32, unless dilation keeps it at 16 or 8: what embeddings are pooled from.
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

    /// Pixels of input that a cell stands for, where nothing is dilated.
    #[must_use]
    pub const fn stride(self) -> usize {
        match self {
            Self::C2 => 4,
            Self::C3 => 8,
            Self::C4 => 16,
            Self::C5 => super::STRIDE,
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
