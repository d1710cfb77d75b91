//! The networks: `ResNetSpec`, what it is made of, and the one table of its parameters.
//!
//! Everything that needs to know a layer's name, shape, stride, padding or order reads it from here: the loader, the
//! ONNX writer, the reference forward pass, the trainer, the exports and the layout checks.
//!
//! Source: `ResNet`, `BlockV1`, `BlockV2` of dm-haiku 0.0.11 (`nets/resnet.py`) as `ResNetTorso` and
//! `TinyResNet` in the published `utils/networks.py` use them; what other software builds otherwise is beside each part.

mod blocks;
mod choice;
mod depth;
mod error;
mod fields;
mod name;
mod normalization;
mod padding;
mod params;
mod spec;
mod stage;

pub use blocks::{Block, Conv};
pub use choice::UnknownChoice;
pub use depth::Depth;
pub use error::SpecError;
pub use normalization::{ChannelOrder, Normalization, NormalizationError};
pub use padding::{Padding, Window};
pub use params::{BatchNormField, HaikuName, Param, ParamKind};
pub use spec::{FirstShortcut, ResNetSpec, StrideIn, Version};
pub use stage::{Stage, StageError};

/// Added to the variance in the published code's batch norms (its `bn_config`), and by default in PyTorch's.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Pixels of input that a cell of the last stage stands for, where nothing is dilated.
pub const STRIDE: usize = 32;
