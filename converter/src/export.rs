//! A model directory's weights in the form that other software reads.
//!
//! What a target cannot hold exactly is refused: nothing is dropped or approximated.

mod detectron2;
mod fit;
mod folder;
mod haiku;
mod model_card;
mod pickle;
mod remark;
mod staged_file;
mod state_dict;
mod torchvision;
mod transformers;

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::{Checkpoint, FileError, Tensors, tensors_from_bytes};
use detcon_core::files::{Existing, StageError};
use detcon_core::model::{ModelDirectory, ModelError, file};
use detcon_core::names::canonical_head;
use safetensors::SafeTensorError;

use crate::onnx::{OnnxError, write_fixed_onnx};
use staged_file::StagedFile;
pub use torchvision::Kernels;

/// Software that weights are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A state dict of torchvision's ResNet, as safetensors.
    Torchvision(Kernels),
    /// A folder that timm and the Hugging Face Hub read.
    Timm,
    /// A `.pkl` of Detectron2's ResNet backbone.
    Detectron2,
    /// A `.npy` in the layout of the published checkpoints.
    Haiku,
    /// A folder that Hugging Face's transformers read.
    Transformers,
    /// An ONNX file of one image of a fixed size, for other engines.
    Onnx {
        /// Height and width of the image.
        size: [usize; 2],
    },
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Torchvision(_) => "torchvision",
            Self::Timm => "timm",
            Self::Detectron2 => "Detectron2",
            Self::Haiku => "haiku",
            Self::Transformers => "transformers",
            Self::Onnx {
                size: [height, width],
            } => {
                return write!(out, "ONNX at {height}x{width}");
            }
        })
    }
}

/// Why weights were not exported. Nothing of the output is left.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The model directory is not whole.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its weights could not be read.
    #[error("{name}: {source}")]
    Tensors {
        /// The file.
        name: &'static str,
        /// What is wrong with it.
        source: FileError,
    },
    /// The target has no such network.
    #[error("{target} cannot hold a {spec}: {reason}")]
    Unfit {
        /// The target.
        target: Target,
        /// The network.
        spec: Box<ResNetSpec>,
        /// What the target lacks.
        reason: &'static str,
    },
    /// The graph could not be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The output could not be put in its place.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The output could not be written.
    #[error("{} could not be written: {source}", place.display())]
    Io {
        /// The output.
        place: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The output could not be written as safetensors.
    #[error("{} could not be written: {source}", place.display())]
    Safetensors {
        /// The output.
        place: PathBuf,
        /// What the writer said.
        source: SafeTensorError,
    },
}

/// What was written.
#[derive(Debug)]
pub struct Exported {
    /// The files or the folder.
    pub paths: Vec<PathBuf>,
    /// How the network is built with them, and what is to be known of it.
    pub remarks: Vec<String>,
}

/// Writes the weights of the model directory at `model` to `place`: a folder for timm and transformers, a file otherwise.
pub fn export(
    model: &Path,
    target: Target,
    place: &Path,
    existing: Existing,
) -> Result<Exported, ExportError> {
    let directory = ModelDirectory::open(model)?;
    let spec = directory.manifest().spec;
    let unfit = |reason| ExportError::Unfit {
        target,
        spec: Box::new(spec),
        reason,
    };
    if let Some(reason) = fit::lack(target, spec) {
        return Err(unfit(reason));
    }
    let bytes = read(&directory, file::BACKBONE)?;
    let checkpoint = Checkpoint::from_bytes(spec, &bytes).map_err(tensors(file::BACKBONE))?;
    drop(bytes);
    let checkpoint = fit::adapted(target, checkpoint).map_err(unfit)?;
    let paths = match target {
        Target::Torchvision(kernels) => write_torchvision(&checkpoint, kernels, place, existing)?,
        Target::Timm => folder::timm(&directory, &checkpoint, place, existing)?,
        Target::Transformers => folder::transformers(&directory, &checkpoint, place, existing)?,
        Target::Detectron2 => {
            let source = &directory.manifest().source.uri;
            write_file(place, existing, |file| {
                detectron2::write(&checkpoint, source, file).map_err(|source| io(place, source))
            })?
        }
        Target::Haiku => {
            let heads = heads(&directory)?;
            write_file(place, existing, |file| {
                haiku::write(&checkpoint, &heads, file).map_err(|source| io(place, source))
            })?
        }
        Target::Onnx { size } => write_file(place, existing, |file| {
            Ok(write_fixed_onnx(&checkpoint, size, file)?)
        })?,
    };
    Ok(Exported {
        paths,
        remarks: remark::remarks(target, checkpoint.spec()),
    })
}

fn heads(directory: &ModelDirectory) -> Result<Tensors, ExportError> {
    if directory.manifest().files.contains_key(file::HEADS) {
        let heads = tensors_from_bytes(&read(directory, file::HEADS)?);
        let heads = heads.map_err(tensors(file::HEADS))?.into_iter();
        Ok(heads
            .map(|(name, tensor)| (canonical_head(&name), tensor))
            .collect())
    } else {
        Ok(Tensors::new())
    }
}

fn write_file(
    place: &Path,
    existing: Existing,
    write: impl FnOnce(&mut StagedFile) -> Result<(), ExportError>,
) -> Result<Vec<PathBuf>, ExportError> {
    let mut staged = StagedFile::new(place, existing)?;
    write(&mut staged)?;
    staged.commit()?;
    Ok(vec![place.to_owned()])
}

fn write_torchvision(
    checkpoint: &Checkpoint,
    kernels: Kernels,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let staged = StagedFile::new(place, existing)?;
    let mut written = vec![place.to_owned()];
    let loader = match kernels {
        Kernels::AsTheyAre => None,
        Kernels::ZeroExtended => {
            let beside = place.with_extension("py");
            let weights = place.file_name().unwrap_or_default().to_string_lossy();
            let mut loader = StagedFile::new(&beside, existing)?;
            let text = torchvision::loader(checkpoint.spec(), &weights);
            loader
                .write_all(text.as_bytes())
                .map_err(|source| io(&beside, source))?;
            written.push(beside);
            Some(loader)
        }
    };
    torchvision::write(checkpoint, kernels, staged.path()).map_err(safetensors_of(place))?;
    staged.commit()?;
    loader.map(StagedFile::commit).transpose()?;
    Ok(written)
}

fn read(directory: &ModelDirectory, name: &str) -> Result<Vec<u8>, ExportError> {
    let path = directory.path().join(name);
    fs::read(&path).map_err(|source| ExportError::Model(ModelError::Io { path, source }))
}

fn io(place: &Path, source: std::io::Error) -> ExportError {
    ExportError::Io {
        place: place.to_owned(),
        source,
    }
}

fn tensors(name: &'static str) -> impl Fn(FileError) -> ExportError {
    move |source| ExportError::Tensors { name, source }
}

fn safetensors_of(place: &Path) -> impl Fn(SafeTensorError) -> ExportError {
    move |source| ExportError::Safetensors {
        place: place.to_owned(),
        source,
    }
}
