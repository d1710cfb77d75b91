//! Why a run ended before its parts were made. What is wrong with one image is no such reason.

use detcon_inference::InferenceError;

use crate::output::OutputError;
use crate::place::PlaceError;

/// Why a run ended before its parts were made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Images could not be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The network could not be asked.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A part could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Too many images could not be used.
    #[error(
        "{errors} images could not be used, more than --max-errors {most}; the last was {path}: {reason} Parts that are \
         there stay; see what is wrong, and allow more with --max-errors"
    )]
    TooMany {
        /// Images that could not be used.
        errors: u64,
        /// Most.
        most: u64,
        /// The last of them.
        path: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A thread panicked.
    #[error(
        "a fault of this program ended it: the lines above say where; parts that are there stay"
    )]
    Panic,
}
