//! `manifest.json`: what a model is, which files it has, where it came from. Unknown fields are errors.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file;
use super::head::HeadEntry;
use crate::arch::ResNetSpec;
use crate::preprocess::Preprocess;

/// Longest model name.
const MAX_NAME: usize = 96;

/// A model's name: the directory's and the API's `model`.
///
/// Letters, digits, `.`, `_` and `-`, up to 96, and no dot in front: it can name nothing outside the store.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ModelName(String);

/// Why a text is no model name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} cannot be a model's name: use 1 to {MAX_NAME} letters, digits, '.', '_' and '-', and no '.' in front"
)]
pub struct NameError {
    text: String,
}

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let valid = (1..=MAX_NAME).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(allowed);
        if valid {
            Ok(Self(text))
        } else {
            Err(NameError { text })
        }
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Arithmetic that a model can be run in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats: `model.onnx`.
    Fp32,
    /// 16-bit floats: `model.fp16.onnx`.
    Fp16,
    /// 8-bit integers: `model.int8.onnx`.
    Int8,
}

impl Precision {
    /// The file that holds the graph of this precision.
    #[must_use]
    pub const fn graph_file(self) -> &'static str {
        match self {
            Self::Fp32 => file::ONNX,
            Self::Fp16 => file::ONNX_FP16,
            Self::Int8 => file::ONNX_INT8,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        })
    }
}

/// How near the embeddings of a lower precision come to float32's, measured on photographs that had no part in
/// making its graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// How the graph was made: the estimator of ranges for int8, `cast` for fp16.
    pub method: String,
    /// Photographs that the graph was calibrated on.
    pub calibrated_on: usize,
    /// Photographs that the figures below were measured on.
    pub measured_on: usize,
    /// Cosine between the embeddings less the mean float32 embedding of the photographs: what tells photographs
    /// apart is compared, not what all of them share.
    pub centred_cosine: MeanAndWorst,
    /// Length of the difference as a share of the float32 embedding's length.
    pub relative_l2_error: MeanAndWorst,
    /// The self-check's tolerance for this precision: twice what its graph was off when it was made.
    pub self_check_tolerance: f32,
}

/// A figure over photographs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanAndWorst {
    /// Over all of them.
    pub mean: f64,
    /// Of the one that fares worst.
    pub worst: f64,
}

/// Length and digest of a file in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Length.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Where the weights came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Address or file name as given; for an untrained model, how it was made.
    pub uri: String,
    /// SHA-256 of the source's bytes; none for an untrained model.
    pub sha256: Option<String>,
    /// How the source was laid out.
    pub layout: String,
}

/// The run that trained the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Name of the run's folder.
    pub run: String,
    /// The objective: `detcon-b` or `detcon-s`.
    pub method: String,
    /// Which of its networks this is: `online`, which learned by gradients, or `target`, which followed it.
    pub network: String,
    /// SHA-256 of its `recipe.toml`, which holds every setting.
    pub recipe_sha256: String,
    /// Steps that were taken.
    pub steps: u64,
    /// Images that they took, counted each time.
    pub images_seen: u64,
    /// Seed of the first weights and of all that was drawn.
    pub seed: u64,
    /// Side of the views in pixels.
    pub image_size: u32,
    /// Version of the trainer that wrote this model.
    pub version: String,
}

/// Which file holds the self-check, and how near the answer must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfCheckEntry {
    /// safetensors file: `images` uint8 `[N, H, W, 3]`, `embedding` float32 `[N, D]`.
    pub file: String,
    /// Largest difference allowed, as a share of the embedding's largest magnitude.
    pub tolerance: f32,
}

/// A model directory's `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format_version: u32,
    /// The model's id: equal to the directory's name.
    pub name: ModelName,
    /// The network.
    pub spec: ResNetSpec,
    /// Length of the embedding.
    pub embedding_size: usize,
    /// From a decoded photograph to the graph's input.
    pub preprocess: Preprocess,
    /// Precisions that have a graph in this directory.
    pub precisions: Vec<Precision>,
    /// What was measured of the precisions below float32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quality: BTreeMap<Precision, Quality>,
    /// Segmentation heads that were trained on the model's features.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segmentation_heads: BTreeMap<ModelName, HeadEntry>,
    /// Every other file of the directory, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// Where the weights came from.
    pub source: Source,
    /// The run that trained the weights, where the trainer made this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// SHA-256 of `ledger.json`; none for an untrained model, which has no source tensors.
    pub ledger_sha256: Option<String>,
    /// The check that a server runs before it serves the model.
    pub self_check: SelfCheckEntry,
    /// Whether the weights were trained.
    pub pretrained: bool,
    /// SPDX identifier of the weights' licence, or `unknown`.
    #[serde(with = "super::license")]
    #[schemars(with = "String")]
    pub license: Option<String>,
    /// When the directory was made, RFC 3339, UTC.
    pub created: String,
}

/// What is read of a manifest first.
#[derive(Deserialize)]
struct FormatVersion {
    format_version: u32,
}

/// Why bytes are no manifest that this release reads.
#[derive(Debug)]
pub(super) enum ManifestError {
    /// It is of another version of the format.
    FormatVersion { found: u32 },
    /// It is not of the format that it says.
    Json(serde_json::Error),
}

impl From<serde_json::Error> for ManifestError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Manifest {
    /// The format version that this release writes; it reads those before it too.
    ///
    /// 2: the network's padding, shortcut, strides, epsilon and normalisation are part of its spec; before, all networks
    /// had the published code's. An unknown licence is called so.
    pub const FORMAT_VERSION: u32 = 2;

    /// Reads the file's bytes: what an older release left out is what its networks were.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        // Before anything else: a newer format may say anything.
        let FormatVersion { format_version } = serde_json::from_slice(bytes)?;
        if !(1..=Self::FORMAT_VERSION).contains(&format_version) {
            return Err(ManifestError::FormatVersion {
                found: format_version,
            });
        }
        Ok(Self {
            format_version: Self::FORMAT_VERSION,
            ..serde_json::from_slice(bytes)?
        })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make openapi` writes it anew.
    #[test]
    fn the_committed_schema_is_that_of_the_manifest() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../openapi/manifest.schema.json"
        );
        let committed = std::fs::read(path).expect("openapi/manifest.schema.json is there");
        let committed: serde_json::Value = serde_json::from_slice(&committed).expect("it is JSON");
        let current = serde_json::to_value(schemars::schema_for!(Manifest)).expect("it is JSON");
        assert!(
            committed == current,
            "openapi/manifest.schema.json is stale: run `make openapi`"
        );
    }

    #[test]
    fn a_name_cannot_leave_the_store() {
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "a b",
            "é",
            "a\0",
            &"a".repeat(97),
        ] {
            assert!(
                ModelName::try_from(name.to_owned()).is_err(),
                "{name:?} was accepted"
            );
        }
        for name in ["resnet50", "ResNet-50_v2.1", &"a".repeat(96)] {
            assert!(
                ModelName::try_from(name.to_owned()).is_ok(),
                "{name:?} was refused"
            );
        }
    }
}
