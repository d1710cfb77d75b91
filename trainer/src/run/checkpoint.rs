//! Checkpoints: whole or not at all, and checked when they are read.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::{Tensors, tensors_from_bytes, tensors_to_bytes};
use detcon_core::digest::sha256;
use detcon_core::files::{Existing, StagedDirectory};
use serde::{Deserialize, Serialize};

use super::RunError;
use crate::learner::{Kept, Learner, State};

/// Where checkpoints lie in a run's folder.
const FOLDER: &str = "checkpoints";
const TENSORS: &str = "state.safetensors";
const ABOUT: &str = "state.json";
const BACKBONE: &str = "model.safetensors";
const HEADS: &str = "heads.safetensors";
/// The version of what follows.
const FORMAT: u32 = 1;

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: u32,
    step: u64,
    /// SHA-256 of `state.safetensors`.
    sha256: String,
    /// Updates of the tensors that count them.
    updates: BTreeMap<String, i64>,
}

/// Saves a run's state below its folder, with the backbone and the heads as inference takes them, and removes the
/// oldest checkpoints of more than `keep`.
pub fn write(run: &Path, learner: &Learner, keep: NonZeroUsize) -> Result<PathBuf, RunError> {
    let state = learner.state();
    let place = run.join(FOLDER).join(format!("{:08}", state.step));
    let staged = StagedDirectory::new(&place, Existing::Replace)?;
    let updates = state.tensors.iter().filter(|(_, kept)| kept.updates != 0);
    let updates = updates
        .map(|(name, kept)| (name.clone(), kept.updates))
        .collect();
    let tensors = state
        .tensors
        .into_iter()
        .map(|(name, kept)| (name, kept.tensor));
    let tensors = tensors_to_bytes(&tensors.collect())?;
    let about = About {
        format: FORMAT,
        step: state.step,
        sha256: sha256(&tensors),
        updates,
    };
    let put = |name: &str, bytes: &[u8]| {
        let path = staged.path().join(name);
        fs::write(&path, bytes).map_err(|cause| RunError::file(&path, cause))
    };
    put(TENSORS, &tensors)?;
    put(
        ABOUT,
        &serde_json::to_vec_pretty(&about).unwrap_or_default(),
    )?;
    put(BACKBONE, &learner.online().checkpoint()?.to_bytes()?)?;
    put(HEADS, &tensors_to_bytes(&learner.online().head_tensors())?)?;
    staged.commit()?;
    let all = list(run)?;
    for old in all.iter().take(all.len().saturating_sub(keep.get())) {
        fs::remove_dir_all(old).map_err(|cause| RunError::file(old, cause))?;
    }
    Ok(place)
}

/// The last checkpoint of a run, if it has any.
pub fn latest(run: &Path) -> Result<Option<PathBuf>, RunError> {
    Ok(list(run)?.pop())
}

/// The state that a checkpoint holds.
pub fn read(place: &Path) -> Result<State, RunError> {
    let damaged = |reason: String| RunError::Damaged {
        place: place.to_owned(),
        reason,
    };
    let get = |name: &str| {
        let path = place.join(name);
        fs::read(&path).map_err(|cause| RunError::file(&path, cause))
    };
    let about: About = serde_json::from_slice(&get(ABOUT)?)
        .map_err(|error| damaged(format!("{ABOUT}: {error}")))?;
    if about.format != FORMAT {
        return Err(damaged(format!(
            "its format is {}, not {FORMAT}",
            about.format
        )));
    }
    let bytes = get(TENSORS)?;
    if sha256(&bytes) != about.sha256 {
        return Err(damaged(format!("{TENSORS} is not what was written")));
    }
    let tensors: Tensors = tensors_from_bytes(&bytes)?;
    let kept = tensors.into_iter().map(|(name, tensor)| {
        let updates = about.updates.get(&name).copied().unwrap_or(0);
        (name, Kept { tensor, updates })
    });
    Ok(State {
        step: about.step,
        tensors: kept.collect(),
    })
}

/// The checkpoints of a run, oldest first.
fn list(run: &Path) -> Result<Vec<PathBuf>, RunError> {
    let folder = run.join(FOLDER);
    let failed = |cause| RunError::file(&folder, cause);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut places = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let step = path
            .file_name()
            .and_then(|name| name.to_str()?.parse::<u64>().ok());
        places.extend(step.map(|step| (step, path)));
    }
    places.sort();
    Ok(places.into_iter().map(|(_, path)| path).collect())
}
