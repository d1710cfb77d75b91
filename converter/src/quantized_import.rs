//! A checkpoint in, a model directory with graphs of lower precision out: all of it, or nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use detcon_core::files::{StageError, StagedDirectory};

use crate::import::{ImportError, ImportOptions, Imported, import};
use crate::location::Location;
use crate::quantize::{QuantizeError, QuantizeOptions, Quantized, quantize};

/// Why there is no model. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum QuantizedImportError {
    /// The checkpoint was not imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A graph of lower precision was not made.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The directory could not be put in its place.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A file of it could not be put in its place.
    #[error("{} could not be written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Imports as [`import`] does, and adds a graph for each of `precisions`, with the ONNX Runtime at `library`.
pub fn import_quantized(
    source: &Location,
    place: &Path,
    options: &ImportOptions,
    precisions: &[QuantizeOptions],
    library: &Path,
) -> Result<(Imported, Vec<Quantized>), QuantizedImportError> {
    let staged = StagedDirectory::new(place, options.existing)?;
    // Under its own name, which is the model's, until it is whole.
    let inner = staged.path().join(place.file_name().unwrap_or_default());
    let imported = import(source, &inner, options)?;
    let quantized = precisions
        .iter()
        .map(|precision| quantize(&inner, library, precision))
        .collect::<Result<_, _>>()?;
    move_files(&inner, staged.path()).map_err(|source| QuantizedImportError::Io {
        path: inner,
        source,
    })?;
    staged.commit()?;
    Ok((imported, quantized))
}

/// Moves everything in a directory to another of the same file system.
fn move_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    fs::remove_dir(from)
}
