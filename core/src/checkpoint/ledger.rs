//! Which source tensor became which parameter, and what was left out and why.

use serde::{Deserialize, Serialize};

use super::little_endian;
use crate::arch::ResNetSpec;
use crate::digest::Hasher;
use crate::names::Transform;

/// Bytes that are hashed at a time: they stay in a core's cache.
const CHUNK: usize = 1 << 16;

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

/// The SHA-256 of float32 `values` as little-endian bytes: the digest of a tensor in a ledger.
#[must_use]
pub fn sha256_f32(values: &[f32]) -> String {
    let mut hasher = Hasher::default();
    for chunk in values.chunks(CHUNK / size_of::<f32>()) {
        hasher.update(&little_endian(chunk));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn a_tensors_digest_is_that_of_its_little_endian_bytes() {
        assert_eq!(
            sha256_f32(&[1.0, -2.5]),
            sha256(&[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0])
        );
    }
}
