//! Why a model cannot be opened, and why a graph cannot be run.

use std::path::PathBuf;

use detcon_core::model::{Disagreement, ModelError, Precision};

/// The library could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error(
    "ONNX Runtime could not be loaded from {}: {source}; `make serve` fetches it, elsewhere name it with \
     --onnxruntime or DETCON_ONNXRUNTIME", path.display()
)]
pub struct LoadError {
    pub(crate) path: PathBuf,
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why a graph could not be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// ONNX Runtime's shared library could not be loaded.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// ONNX Runtime refuses the graph or fails at it.
    #[error("ONNX Runtime cannot run the graph: {source}")]
    Runtime {
        /// What it said.
        #[from]
        source: ort::Error,
    },
    /// There is no GPU, or ONNX Runtime cannot use it.
    #[error(
        "CUDA cannot be used: {source}; give --onnxruntime a library for GPUs (libonnxruntime_providers_cuda.so is beside it) \
         and let LD_LIBRARY_PATH name the folders of CUDA and cuDNN, or serve with --device cpu"
    )]
    Cuda {
        /// What ONNX Runtime said.
        source: ort::Error,
    },
    /// The model has no graph of the precision.
    #[error(
        "it has no {precision} graph: make one with `detcon-convert quantize`, or serve it with --precision auto"
    )]
    NoGraph {
        /// What was asked for.
        precision: Precision,
    },
    /// Another model is in the directory's place, so what was opened may be partly of either.
    #[error("its directory was replaced while it was opened")]
    Replaced,
    /// A file that was held open is no longer what the manifest says.
    #[error("{name} was changed in place: {what}")]
    Changed {
        /// The file.
        name: String,
        /// What differs, or what the file system said.
        what: String,
    },
    /// Features were asked for that no open graph gives.
    #[error("no graph that is open gives {output}")]
    NotOpen {
        /// Name of the output.
        output: &'static str,
    },
    /// A graph's output is not float32, or not one row an image.
    #[error("the graph gave {found:?} for {images} images")]
    Output {
        /// Shape of the output; empty where it is missing or of another type.
        found: Vec<i64>,
        /// Images in the batch.
        images: usize,
    },
}

/// Why a model directory cannot be opened, or is not to be computed with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is no whole model.
    #[error(transparent)]
    Directory(#[from] ModelError),
    /// A session could not be opened or run.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The engine gives another embedding than the reference.
    #[error("its self-check failed in {precision}: {disagreement}")]
    SelfCheck {
        /// What the engine computed in.
        precision: Precision,
        /// How far it was off.
        disagreement: Disagreement,
    },
}
