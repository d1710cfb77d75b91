//! A licence in a manifest: an SPDX identifier, or `unknown` where the source did not tell. Older manifests have null for it.

use serde::{Deserialize, Deserializer, Serializer};

/// What stands for a licence that is not known.
pub const UNKNOWN_LICENSE: &str = "unknown";

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
pub(super) fn serialize<S: Serializer>(
    license: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(license.as_deref().unwrap_or(UNKNOWN_LICENSE))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let license: Option<String> = Option::deserialize(deserializer)?;
    Ok(license.filter(|it| it != UNKNOWN_LICENSE))
}
