//! A model directory: a manifest and the files it names, with digests and a check of its own.

mod directory;
mod manifest;
mod self_check;

pub use directory::{ModelDirectory, ModelError, list};
pub use manifest::{
    FileEntry, Manifest, MeanAndWorst, ModelName, NameError, Precision, Quality, SelfCheckEntry,
    Source, Training,
};
pub use self_check::{Disagreement, SelfCheck};

/// The names of a model directory's files.
pub mod file {
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

    /// All of them: what a directory that comes from outside may hold.
    pub const ALL: [&str; 10] = [
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
