//! A model directory: a manifest and the files it names, with digests and a check of its own.

mod directory;
mod head;
mod license;
mod manifest;
mod self_check;
mod update;

pub use directory::{ModelDirectory, ModelError, declared_beside, list};
pub use head::{HeadEntry, HeadQuality};
pub use license::UNKNOWN_LICENSE;
pub use manifest::{
    FileEntry, Manifest, MeanAndWorst, ModelName, NameError, Precision, Quality, SelfCheckEntry,
    Source, Training,
};
pub use self_check::{Disagreement, SelfCheck};
pub use update::{ModelUpdate, UpdateError};

/// The names of a model directory's files.
pub mod file {
    use super::ModelName;

    /// What the model is and what its files are.
    pub const MANIFEST: &str = "manifest.json";
    /// The backbone, torchvision names.
    pub const BACKBONE: &str = "model.safetensors";
    /// Projector, predictor and classifier, where the source had them.
    pub const HEADS: &str = "heads.safetensors";
    /// The graph that is served, float32.
    pub const ONNX: &str = "model.onnx";
    /// The graph of every stage; its weights are those in [`ONNX`].
    pub const STAGES_ONNX: &str = "model.stages.onnx";
    /// The graph in 16-bit floats.
    pub const ONNX_FP16: &str = "model.fp16.onnx";
    /// The graph in 8-bit integers.
    pub const ONNX_INT8: &str = "model.int8.onnx";
    /// Which source tensor became which parameter.
    pub const LEDGER: &str = "ledger.json";
    /// Input and expected embedding of the self-check.
    pub const SELF_CHECK: &str = "self_check.safetensors";
    /// timm's configuration, where timm has the architecture.
    pub const TIMM_CONFIG: &str = "config.json";

    /// The folder of the segmentation heads.
    pub const HEADS_FOLDER: &str = "heads";
    /// What a segmentation head's file ends in.
    const HEAD_SUFFIX: &str = ".safetensors";

    /// The weights of a segmentation head.
    #[must_use]
    pub fn head(name: &ModelName) -> String {
        format!("{HEADS_FOLDER}/{name}{HEAD_SUFFIX}")
    }

    /// Whether a directory that comes from outside may hold a file of this name.
    #[must_use]
    pub fn is_known(name: &str) -> bool {
        let head = name
            .strip_prefix(HEADS_FOLDER)
            .and_then(|name| name.strip_prefix('/'))
            .and_then(|name| name.strip_suffix(HEAD_SUFFIX))
            .is_some_and(|name| ModelName::try_from(name.to_owned()).is_ok());
        head || ALL.contains(&name)
    }

    /// All but those of segmentation heads.
    const ALL: [&str; 10] = [
        MANIFEST,
        BACKBONE,
        HEADS,
        ONNX,
        STAGES_ONNX,
        ONNX_FP16,
        ONNX_INT8,
        LEDGER,
        SELF_CHECK,
        TIMM_CONFIG,
    ];
}
