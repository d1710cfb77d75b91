//! Why a model was not quantized. Its directory is as it was.

use std::path::PathBuf;

use detcon_core::checkpoint::FileError;
use detcon_core::model::{Disagreement, ModelError, Precision, UpdateError};

use crate::onnx::OnnxError;
use crate::onnx::half::HalfError;
use detcon_inference::InferenceError;

/// Why a model was not quantized. Its directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The directory is no whole model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model's weights are not what its manifest says.
    #[error(transparent)]
    Weights(#[from] FileError),
    /// The model has this precision already.
    #[error("{} has an {precision} graph already: --force makes it anew", place.display())]
    Exists {
        /// The model.
        place: PathBuf,
        /// What it has.
        precision: Precision,
    },
    /// A folder could not be read.
    #[error("{} could not be read: {source}", path.display())]
    Folder {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A folder holds nothing that could be a photograph.
    #[error("{} holds no files: give a folder of photographs", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Not one file of a folder is a photograph.
    #[error(
        "none of the {files} files in {} is a photograph; the first one, {}: {reason}",
        folder.display(),
        first.display()
    )]
    NoPhotograph {
        /// The folder.
        folder: PathBuf,
        /// How many were tried.
        files: usize,
        /// The first of them.
        first: PathBuf,
        /// What the decoder said of it.
        reason: detcon_core::image::ImageError,
    },
    /// One photograph cannot be both calibrated on and held out.
    #[error(
        "{} holds one photograph, and the result has to be measured on another: add some, or give --held-out a folder",
        folder.display()
    )]
    NothingHeldOut {
        /// The folder.
        folder: PathBuf,
    },
    /// The network gives values that are no numbers.
    #[error(
        "{value} of the float32 graph is not finite on these photographs: the weights are damaged"
    )]
    NotFinite {
        /// The value in the graph.
        value: String,
    },
    /// A weight does not fit.
    #[error(transparent)]
    Half(#[from] HalfError),
    /// The graph could not be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The graph could not be run.
    #[error(transparent)]
    Runtime(#[from] InferenceError),
    /// The new graph gives no embedding for the self-check's picture.
    #[error("the new graph fails the self-check: {0}")]
    SelfCheck(#[from] Disagreement),
    /// The directory could not be written.
    #[error(transparent)]
    Write(#[from] UpdateError),
}
