//! The one table of a network's tensors: the backbone's parameters and its heads', and what each is for.

use detcon_core::arch::{BatchNormField, Param, ParamKind, ResNetSpec, Version};

use super::HeadSpec;

/// What a tensor is, which decides how it starts and whether it is regularised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Kernel or matrix, with the number of inputs that each output sums over.
    Weight {
        /// That number.
        fan_in: usize,
    },
    /// Bias of a linear layer.
    Bias,
    /// Factor of a batch norm.
    Scale,
    /// Factor of the last batch norm of a bottleneck block, which starts at 0, so that the block starts as identity.
    LastScale,
    /// Summand of a batch norm.
    Offset,
    /// Moving average of a batch norm: not learned.
    Average,
}

impl Role {
    /// Whether weight decay and LARS's adaptation touch it: upstream's `_exclude_bias_and_norm` leaves out the rest.
    #[must_use]
    pub const fn regularised(self) -> bool {
        match self {
            Self::Weight { .. } => true,
            Self::Bias | Self::Scale | Self::LastScale | Self::Offset | Self::Average => false,
        }
    }
}

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in a checkpoint: `layer1.0.bn2.running_mean`, `projector.linear.weight`.
    pub name: String,
    /// Lengths of its axes, in torchvision's layout.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
}

/// Every tensor of a network: first the backbone's in order of computation, then the heads'.
#[must_use]
pub fn table(spec: ResNetSpec, heads: &HeadSpec) -> Vec<Row> {
    let backbone = spec.params().into_iter().map(|param| Row {
        role: role(spec, &param),
        name: param.name,
        shape: param.shape,
    });
    backbone.chain(heads.rows(spec.embedding_size())).collect()
}

/// Source: `BlockV1` of dm-haiku 0.0.11, which alone starts a batch norm at 0.
fn role(spec: ResNetSpec, param: &Param) -> Role {
    match param.kind {
        ParamKind::Conv(conv) => Role::Weight {
            fan_in: conv.inputs * conv.kernel * conv.kernel,
        },
        ParamKind::BatchNorm(BatchNormField::Scale) => {
            let bottleneck = spec.depth().bottleneck() && spec.version() == Version::V1;
            if bottleneck && param.name.ends_with(".bn3.weight") {
                Role::LastScale
            } else {
                Role::Scale
            }
        }
        ParamKind::BatchNorm(BatchNormField::Offset) => Role::Offset,
        ParamKind::BatchNorm(BatchNormField::Mean | BatchNormField::Variance) => Role::Average,
    }
}
