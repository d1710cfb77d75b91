//! The weights that a new run starts from, where they are not drawn: those of a run, of any version, or of a model
//! directory.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::{Checkpoint, Tensors, tensors_from_bytes};
use detcon_core::model::file;

use super::{RunError, latest};
use crate::learner::Learner;

/// The learner with the backbone of a run's last checkpoint or of a model directory, and those of its heads that fit.
/// Its target starts as a copy.
pub(super) fn from_weights(learner: Learner, place: &Path) -> Result<Learner, RunError> {
    let refuse = |reason: String| RunError::Init {
        place: place.to_owned(),
        reason,
    };
    let folder = latest(place)?.unwrap_or_else(|| PathBuf::from(place));
    let weights = folder.join(file::BACKBONE);
    let bytes = fs::read(&weights).map_err(|cause| {
        let weights = weights.display();
        refuse(format!(
            "{weights}: {cause}: give a run's folder or a model directory"
        ))
    })?;
    let spec = learner.online().spec();
    let backbone = Checkpoint::from_bytes(spec, &bytes);
    let backbone = backbone.map_err(|error| refuse(format!("it is no {spec}: {error}")))?;
    let heads = heads(&folder.join(file::HEADS)).map_err(&refuse)?;
    let started = learner.started_from(|network| {
        network.load_backbone(&backbone)?;
        network.load_fitting_heads(&heads);
        Ok(())
    });
    started.map_err(|error| refuse(error.to_string()))
}

/// The tensors of the heads; none where the file is not there.
fn heads(path: &Path) -> Result<Tensors, String> {
    match fs::read(path) {
        Ok(bytes) => tensors_from_bytes(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tensors::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
