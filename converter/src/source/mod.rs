//! What kind of file a checkpoint is, told from its bytes, never from its name; and the value in it. Kinds that
//! hold no haiku checkpoint are refused with what they are.

mod kind;

pub use kind::FileKind;

use crate::npy::{self, NpyError};
use crate::pickle::{self, Globals, Limits, PickleError, Value};

/// Why no value could be read from a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A kind of file that is not read.
    #[error("not supported yet: {kind}; {}", kind.advice())]
    Unsupported {
        /// What it is.
        kind: FileKind,
    },
    /// A `.npy` file that holds no checkpoint.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// A pickle that is damaged, hostile, or not a checkpoint.
    #[error(transparent)]
    Pickle(#[from] PickleError),
}

/// Reads the value in a checkpoint file: a `.npy` file of one object, or a plain pickle.
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Value<'a>, SourceError> {
    Ok(pickle::parse_from(bytes, pickle_start(bytes)?, limits)?)
}

/// Lists every global that the pickle in a checkpoint file names. Works on hostile files.
pub fn globals<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Globals<'a>, SourceError> {
    Ok(pickle::globals(bytes, pickle_start(bytes)?, limits))
}

fn pickle_start(bytes: &[u8]) -> Result<usize, SourceError> {
    match FileKind::of(bytes) {
        FileKind::Npy => Ok(npy::pickle_start(bytes)?),
        FileKind::Pickle => Ok(0),
        kind @ (FileKind::Empty
        | FileKind::Npz
        | FileKind::PyTorch
        | FileKind::Zip
        | FileKind::Gzip
        | FileKind::Safetensors
        | FileKind::Hdf5
        | FileKind::GitLfsPointer
        | FileKind::Html
        | FileKind::Unknown) => Err(SourceError::Unsupported { kind }),
    }
}
