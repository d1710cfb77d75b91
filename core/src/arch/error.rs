//! Why there is no such network.

use super::spec::{MAX_WIDTH, OUTPUT_STRIDES};
use super::{Depth, NormalizationError};

/// Why there is no such network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A width multiplier is outside 1 to 4.
    #[error("a width multiplier of {width} is not supported: give 1 to {MAX_WIDTH}")]
    Width {
        /// What was asked for.
        width: usize,
    },
    /// Basic blocks have no bottleneck.
    #[error("{} has basic blocks: they are no bottlenecks, so there are no {what}", depth.name())]
    NoBottleneck {
        /// The depth.
        depth: Depth,
        /// What was asked for.
        what: &'static str,
    },
    /// The first block has more outputs than inputs.
    #[error("{} cannot begin with an identity: its first block changes the number of channels", depth.name())]
    NoIdentity {
        /// The depth.
        depth: Depth,
    },
    /// No such output stride.
    #[error("an output stride of {output_stride} is not supported: give one of {OUTPUT_STRIDES:?}")]
    OutputStride {
        /// What was asked for.
        output_stride: usize,
    },
    /// No such epsilon.
    #[error("an epsilon of {epsilon} is not supported: give a number above 0 and at most 1")]
    Epsilon {
        /// What was asked for.
        epsilon: f64,
    },
    /// No such normalisation.
    #[error(transparent)]
    Normalization(#[from] NormalizationError),
    /// No architecture is called that.
    #[error(
        "no architecture is called {name:?}: give tiny, resnet18, 34, 50, 101, 152 or 200, then x2 … x4 for a \
         width multiplier and v2 for pre-activation, or wide_resnet50_2, wide_resnet101_2; then +symmetric, +identity, \
         +stride1x1, +os16, +os8, +eps=…, +none, +caffe, as in resnet18+symmetric+identity"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
}

/// No part of it is NaN where it is compared: tests compare errors of what was asked for.
impl Eq for SpecError {}
