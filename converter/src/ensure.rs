//! Makes sure of a model: the published checkpoint where it can be reached, an untrained network where not.

use std::path::Path;

use detcon_core::arch::ResNetSpec;
use detcon_core::files::Existing;
use detcon_core::model::ModelDirectory;

use crate::demo::demo;
use crate::fetch::{FetchError, FetchOptions};
use crate::import::{ImportError, ImportOptions, import};
use crate::location::Location;
use crate::model_writer::WriteError;

/// What was made sure of.
#[derive(Debug)]
pub enum Ensured {
    /// A trained model was there already.
    Present,
    /// The checkpoint was fetched and imported.
    Imported,
    /// The checkpoint could not be reached; an untrained model stands in for it until it can be.
    Untrained {
        /// Why the checkpoint could not be had.
        reason: FetchError,
    },
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The checkpoint was reached and could not be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The untrained model could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Leaves a trained model at `place` as it is; else imports `source`; else sees to it that an untrained `spec` is
/// there, so that the next call tries `source` again. A damaged model is replaced.
pub fn ensure(
    place: &Path,
    source: &Location,
    spec: ResNetSpec,
    fetch: &FetchOptions,
) -> Result<Ensured, EnsureError> {
    let present = ModelDirectory::open(place).ok();
    if present
        .as_ref()
        .is_some_and(|model| model.manifest().pretrained)
    {
        return Ok(Ensured::Present);
    }
    let options = ImportOptions {
        existing: Existing::Replace,
        fetch: fetch.clone(),
        ..ImportOptions::default()
    };
    match import(source, place, &options) {
        Ok(_) => Ok(Ensured::Imported),
        Err(ImportError::Fetch(reason)) => {
            if present.is_none_or(|model| model.manifest().spec != spec) {
                demo(place, Existing::Replace, spec, 0)?;
            }
            Ok(Ensured::Untrained { reason })
        }
        Err(error) => Err(error.into()),
    }
}
