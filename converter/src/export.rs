//! A model directory's weights in the form that other software reads.
//!
//! What a target cannot hold exactly is refused: nothing is dropped or approximated.

mod detectron2;
mod haiku;
mod model_card;
mod pickle;
mod staged_file;
mod torchvision;

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use detcon_core::arch::{Depth, ResNetSpec, Version};
use detcon_core::checkpoint::{Checkpoint, FileError, Tensors, tensors_from_bytes};
use detcon_core::files::{Existing, StageError, StagedDirectory};
use detcon_core::model::{ModelDirectory, ModelError, file};
use safetensors::SafeTensorError;

use crate::timm;
use staged_file::StagedFile;
pub use torchvision::Padding;

/// Software that weights are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A state dict of torchvision's ResNet, as safetensors.
    Torchvision(Padding),
    /// A folder that timm and the Hugging Face Hub read.
    Timm,
    /// A `.pkl` of Detectron2's ResNet backbone.
    Detectron2,
    /// A `.npy` in the layout of the published checkpoints.
    Haiku,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Torchvision(_) => "torchvision",
            Self::Timm => "timm",
            Self::Detectron2 => "Detectron2",
            Self::Haiku => "haiku",
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
        spec: ResNetSpec,
        /// What the target lacks.
        reason: &'static str,
    },
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

/// What the target lacks for `spec`, if it lacks anything.
const fn lack(target: Target, spec: ResNetSpec) -> Option<&'static str> {
    match (target, spec.version(), spec.depth()) {
        (Target::Haiku, _, _) => None,
        (_, Version::V2, _) => Some("it has no pre-activation ResNets of this kind"),
        (_, _, Depth::Tiny) => Some("it has no such network"),
        (_, _, Depth::ResNet18 | Depth::ResNet34) => Some(
            "its first shortcut is the identity, and this network's is a projection (layer1.0.downsample)",
        ),
        (Target::Torchvision(_) | Target::Timm, _, _) if spec.width() > 1 => {
            Some("its wide ResNets widen the inner convolutions only")
        }
        (Target::Torchvision(_) | Target::Timm | Target::Detectron2, _, _) => None,
    }
}

/// Writes the weights of the model directory at `model` to `place`: a folder for timm, a file otherwise. Gives
/// the files or the folder that were written.
pub fn export(
    model: &Path,
    target: Target,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let directory = ModelDirectory::open(model)?;
    let spec = directory.manifest().spec;
    if let Some(reason) = lack(target, spec) {
        return Err(ExportError::Unfit {
            target,
            spec,
            reason,
        });
    }
    let bytes = read(&directory, file::BACKBONE)?;
    let checkpoint = Checkpoint::from_bytes(spec, &bytes).map_err(tensors(file::BACKBONE))?;
    drop(bytes);
    match target {
        Target::Torchvision(padding) => write_torchvision(&checkpoint, padding, place, existing),
        Target::Timm => write_timm(&directory, &checkpoint, place, existing),
        Target::Detectron2 => {
            write_file(place, existing, |file| detectron2::write(&checkpoint, file))
        }
        Target::Haiku => {
            let heads = heads(&directory)?;
            write_file(place, existing, |file| {
                haiku::write(&checkpoint, &heads, file)
            })
        }
    }
}

fn heads(directory: &ModelDirectory) -> Result<Tensors, ExportError> {
    if directory.manifest().files.contains_key(file::HEADS) {
        tensors_from_bytes(&read(directory, file::HEADS)?).map_err(tensors(file::HEADS))
    } else {
        Ok(Tensors::new())
    }
}

fn write_file(
    place: &Path,
    existing: Existing,
    write: impl FnOnce(&mut StagedFile) -> std::io::Result<()>,
) -> Result<Vec<PathBuf>, ExportError> {
    let mut staged = StagedFile::new(place, existing)?;
    write(&mut staged).map_err(|source| io(place, source))?;
    staged.commit()?;
    Ok(vec![place.to_owned()])
}

fn write_torchvision(
    checkpoint: &Checkpoint,
    padding: Padding,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let staged = StagedFile::new(place, existing)?;
    let mut written = vec![place.to_owned()];
    let loader = match padding {
        Padding::Symmetric => None,
        Padding::ZeroExtended => {
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
    torchvision::write(checkpoint, padding, staged.path()).map_err(safetensors_of(place))?;
    staged.commit()?;
    loader.map(StagedFile::commit).transpose()?;
    Ok(written)
}

fn write_timm(
    directory: &ModelDirectory,
    checkpoint: &Checkpoint,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let manifest = directory.manifest();
    let unfit = || ExportError::Unfit {
        target: Target::Timm,
        spec: manifest.spec,
        reason: "it has no such network",
    };
    let config = timm::config(
        manifest.spec,
        manifest.preprocess.size(),
        manifest.license.as_deref(),
    )
    .ok_or_else(unfit)?;
    let card = model_card::model_card(manifest, checkpoint, &directory.self_check()?);
    let staged = StagedDirectory::new(place, existing)?;
    let weights = staged.path().join(file::BACKBONE);
    torchvision::write(checkpoint, Padding::Symmetric, &weights).map_err(safetensors_of(place))?;
    for (name, text) in [
        (file::TIMM_CONFIG, format!("{config:#}\n")),
        ("README.md", card),
    ] {
        fs::write(staged.path().join(name), text).map_err(|source| io(place, source))?;
    }
    staged.commit()?;
    Ok(vec![place.to_owned()])
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
