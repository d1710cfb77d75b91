//! What kind of file a checkpoint is, told from its bytes, never from its name; and what is in it. Kinds that
//! hold no checkpoint are refused with what they are.

mod kind;

pub use kind::FileKind;

use crate::haiku::{HaikuError, HaikuTree, Network};
use crate::msgpack::{self, MsgpackError};
use crate::npy::{self, NpyError};
use crate::npz::{self, NpzError};
use crate::pickle::{self, Globals, Limits, PickleError, Value};
use crate::torch::{Container, TensorFile, TorchError};

/// A checkpoint, by the names that it uses.
#[derive(Debug)]
pub enum Content<'a> {
    /// Haiku's modules.
    Haiku(HaikuTree<'a>),
    /// Tensors by dotted names.
    Torch(TensorFile<'a>),
}

/// Why no value could be read from a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A kind of file that is not read.
    #[error("it is {kind}: {}", kind.advice())]
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
    /// A NumPy archive whose arrays cannot be read.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// Msgpack that is damaged or no checkpoint.
    #[error(transparent)]
    Msgpack(#[from] MsgpackError),
    /// A mapping that is no haiku checkpoint.
    #[error(transparent)]
    Haiku(#[from] HaikuError),
    /// A file that is no state dict.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Reads the checkpoint in a file. `network` matters where the file has two.
pub fn open<'a>(
    bytes: &'a [u8],
    network: Network,
    limits: &Limits,
) -> Result<Content<'a>, SourceError> {
    match FileKind::of(bytes) {
        FileKind::PyTorch => Ok(Content::Torch(TensorFile::from_archive(bytes, limits)?)),
        FileKind::LegacyPyTorch => Ok(Content::Torch(TensorFile::from_legacy(bytes, limits)?)),
        FileKind::Safetensors => Ok(Content::Torch(TensorFile::from_safetensors(bytes)?)),
        FileKind::Npy
        | FileKind::Pickle
        | FileKind::Empty
        | FileKind::Npz
        | FileKind::Msgpack
        | FileKind::Zip
        | FileKind::Gzip
        | FileKind::Hdf5
        | FileKind::GitLfsPointer
        | FileKind::Html
        | FileKind::Unknown => by_names(read(bytes, limits)?, network),
    }
}

/// Reads a network whose tensors lie in several safetensors files, which must hold all that their index names.
pub fn open_shards<'a>(
    shards: &[&'a [u8]],
    tensors: &[String],
) -> Result<Content<'a>, SourceError> {
    Ok(Content::Torch(TensorFile::from_shards(shards, tensors)?))
}

/// What a value holds: haiku's modules, or where it is laid out in none of their ways, a network of dotted names.
fn by_names(value: Value<'_>, network: Network) -> Result<Content<'_>, SourceError> {
    match HaikuTree::read(&value, network) {
        Ok(tree) => Ok(Content::Haiku(match tree.devices() {
            Some(_) => tree.first_device()?,
            None => tree,
        })),
        Err(error) => match TensorFile::from_value(Container::Arrays, value) {
            Ok(file) if !file.networks().is_empty() => Ok(Content::Torch(file)),
            Ok(file) => match file.backbone(None) {
                Err(told @ TorchError::LookAlike { .. }) => Err(told.into()),
                _ => Err(error.into()),
            },
            Err(_) => Err(error.into()),
        },
    }
}

/// Reads the value in a checkpoint file: a `.npy` file of one object, a plain pickle, NumPy's archive of arrays, or flax's
/// msgpack.
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Value<'a>, SourceError> {
    match FileKind::of(bytes) {
        FileKind::Npz => return Ok(npz::read(bytes)?),
        FileKind::Msgpack => return Ok(msgpack::read(bytes, limits)?),
        _ => {}
    }
    Ok(pickle::parse_from(bytes, pickle_start(bytes)?, limits)?)
}

/// Lists every global that the pickle in a checkpoint file names. Works on hostile files.
pub fn globals<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Globals<'a>, SourceError> {
    let kind = FileKind::of(bytes);
    if kind == FileKind::PyTorch {
        return Ok(TensorFile::globals(bytes, limits).map_err(TorchError::from)?);
    }
    if kind == FileKind::LegacyPyTorch {
        return Ok(TensorFile::legacy_globals(bytes, limits)?);
    }
    Ok(pickle::globals(bytes, pickle_start(bytes)?, limits))
}

fn pickle_start(bytes: &[u8]) -> Result<usize, SourceError> {
    match FileKind::of(bytes) {
        FileKind::Npy => Ok(npy::pickle_start(bytes)?),
        FileKind::Pickle => Ok(0),
        kind @ (FileKind::Empty
        | FileKind::Npz
        | FileKind::Msgpack
        | FileKind::PyTorch
        | FileKind::LegacyPyTorch
        | FileKind::Zip
        | FileKind::Gzip
        | FileKind::Safetensors
        | FileKind::Hdf5
        | FileKind::GitLfsPointer
        | FileKind::Html
        | FileKind::Unknown) => Err(SourceError::Unsupported { kind }),
    }
}
