//! Which source tensor became which parameter, and what was left out and why.

use serde::{Deserialize, Serialize};

use crate::arch::ResNetSpec;
use crate::names::Transform;

/// A parameter that was filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    /// The parameter, as torchvision spells it.
    pub parameter: String,
    /// Key of the source tensor; for a fresh moving average, that there is none.
    pub source: String,
    /// What was done to it.
    pub transform: Transform,
    /// SHA-256 of the parameter's values as little-endian float32 in C order.
    pub sha256: String,
}

/// A source tensor that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// Key of the source tensor.
    pub source: String,
    /// Why it was not used.
    pub reason: String,
}

/// The account of a conversion: every source tensor appears exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The network.
    pub spec: ResNetSpec,
    /// Parameters of the backbone, in the spec's order.
    pub backbone: Vec<Filled>,
    /// Tensors of the heads, by name.
    pub heads: Vec<Filled>,
    /// Source tensors that were not used.
    pub set_aside: Vec<SetAside>,
}
