//! Checkpoints: whole or not at all, and checked when they are read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::{Checkpoint, Tensors, tensors_from_bytes, tensors_to_bytes};
use detcon_core::digest::sha256;
use detcon_core::files::{Existing, StagedDirectory};
use serde::{Deserialize, Serialize};

use super::RunError;
use crate::learner::{Kept, Learner, State};

/// Where checkpoints lie in a run's folder.
const FOLDER: &str = "checkpoints";
const TENSORS: &str = "state.safetensors";
const ABOUT: &str = "state.json";
/// What a checkpoint is called while it is removed.
const GONE: &str = ".gone";
const BACKBONE: &str = "model.safetensors";
const HEADS: &str = "heads.safetensors";
/// The version of what follows.
const FORMAT: u32 = 2;

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: u32,
    step: u64,
    /// How good it is: of several the highest is the best.
    score: Option<f64>,
    /// SHA-256 of `state.safetensors`.
    sha256: String,
    /// Updates of the tensors that count them.
    updates: BTreeMap<String, i64>,
}

/// All that a checkpoint holds, in memory of its own: a run goes on while it is written.
#[derive(Debug)]
pub struct Snapshot {
    state: State,
    score: Option<f64>,
    backbone: Checkpoint,
    heads: Tensors,
}

impl Snapshot {
    /// Of a run as it is now, with a score where there is one: of several checkpoints the highest is the best.
    pub fn of(learner: &Learner, score: Option<f64>) -> Result<Self, RunError> {
        Ok(Self {
            state: learner.state(),
            score,
            backbone: learner.online().checkpoint()?,
            heads: learner.online().head_tensors(),
        })
    }
}

/// Saves a run's state below its folder, with the backbone and the heads as inference takes them. Of all checkpoints the
/// last `keep` stay, and the best.
pub fn write(run: &Path, snapshot: Snapshot, keep: NonZeroUsize) -> Result<PathBuf, RunError> {
    let state = snapshot.state;
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
        score: snapshot.score,
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
    put(BACKBONE, &snapshot.backbone.to_bytes()?)?;
    put(HEADS, &tensors_to_bytes(&snapshot.heads)?)?;
    staged.commit()?;
    remove_old(run, keep)?;
    Ok(place)
}

fn remove_old(run: &Path, keep: NonZeroUsize) -> Result<(), RunError> {
    let all = list(run)?;
    let best = best(run)?;
    for old in all.iter().take(all.len().saturating_sub(keep.get())) {
        if Some(old) != best.as_ref() {
            discard(old).map_err(|cause| RunError::file(old, cause))?;
        }
    }
    Ok(())
}

/// Removes a checkpoint. It gets a name that nothing lists first: a kill at any moment leaves it whole or gone.
fn discard(place: &Path) -> io::Result<()> {
    let hidden = place.with_file_name(GONE);
    if hidden.exists() {
        fs::remove_dir_all(&hidden)?; // of a process that was killed meanwhile
    }
    fs::rename(place, &hidden)?;
    fs::remove_dir_all(&hidden)
}

/// The last checkpoint of a run, if it has any.
pub fn latest(run: &Path) -> Result<Option<PathBuf>, RunError> {
    Ok(list(run)?.pop())
}

/// The checkpoint of the highest score, the last of them where several have it; none where none has a score.
pub fn best(run: &Path) -> Result<Option<PathBuf>, RunError> {
    let mut best = None;
    for place in list(run)? {
        let Some(score) = about(&place)?.score else {
            continue;
        };
        if best.as_ref().is_none_or(|(highest, _)| score >= *highest) {
            best = Some((score, place));
        }
    }
    Ok(best.map(|(_, place)| place))
}

fn about(place: &Path) -> Result<About, RunError> {
    let damaged = |reason: String| RunError::damaged(place, reason);
    let about: About = serde_json::from_slice(&get(place, ABOUT)?)
        .map_err(|error| damaged(format!("{ABOUT}: {error}")))?;
    if about.format != FORMAT {
        return Err(damaged(format!(
            "its format is {}, not {FORMAT}",
            about.format
        )));
    }
    Ok(about)
}

fn get(place: &Path, name: &str) -> Result<Vec<u8>, RunError> {
    let path = place.join(name);
    fs::read(&path).map_err(|cause| RunError::file(&path, cause))
}

/// The state that a checkpoint holds.
pub fn read(place: &Path) -> Result<State, RunError> {
    Ok(read_digested(place)?.0)
}

/// The state that a checkpoint holds, and the SHA-256 of its tensors' file.
pub(crate) fn read_digested(place: &Path) -> Result<(State, String), RunError> {
    let about = about(place)?;
    let bytes = get(place, TENSORS)?;
    if sha256(&bytes) != about.sha256 {
        return Err(RunError::damaged(
            place,
            format!("{TENSORS} is not what was written"),
        ));
    }
    let tensors: Tensors = tensors_from_bytes(&bytes)?;
    let kept = tensors.into_iter().map(|(name, tensor)| {
        let updates = about.updates.get(&name).copied().unwrap_or(0);
        (name, Kept { tensor, updates })
    });
    let state = State {
        step: about.step,
        tensors: kept.collect(),
    };
    Ok((state, about.sha256))
}

/// The step of the checkpoint at a place, from the folder's name.
pub(crate) fn step_of(place: &Path) -> Option<u64> {
    place.file_name()?.to_str()?.parse().ok()
}

/// The checkpoints of a run, oldest first.
pub fn list(run: &Path) -> Result<Vec<PathBuf>, RunError> {
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
        places.extend(step_of(&path).map(|step| (step, path)));
    }
    places.sort();
    Ok(places.into_iter().map(|(_, path)| path).collect())
}
