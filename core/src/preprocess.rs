//! Stand-in until preprocessing lands.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
/// x
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    size: u32,
}
impl Preprocess {
    /// x
    pub fn center_crop(size: u32) -> Self {
        Self { size }
    }
}
