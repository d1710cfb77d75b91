//! The watch of the store: models that come, change and go while the server runs.

mod files;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use detcon_core::model::{ModelError, list};

use files::Files;

/// What is to be done about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There is something new in it.
    Load(PathBuf),
    /// It is gone.
    Remove(String),
}

/// A store as it was when it was last looked at. What changes is told when it has stayed as it is from one look to the
/// next: a directory that is being copied is not a model yet, and one that is being replaced is not gone. Only what is
/// not there is gone: what cannot be read is as it was before.
#[derive(Debug)]
pub(super) struct Watch {
    store: PathBuf,
    /// What was told of each directory; nothing of one that is to be told of again.
    told: BTreeMap<PathBuf, Option<Files>>,
    /// What was there at the last look.
    last: BTreeMap<PathBuf, Seen>,
}

/// What a look at a directory gave.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// All that is in it.
    Files(Files),
    /// It is there, and could not be read, for this reason.
    Unread(String),
}

impl Watch {
    /// A watch that has told of everything that is there.
    pub(super) fn new(store: PathBuf) -> Self {
        let last = look(&store).unwrap_or_default();
        let told = last.iter().map(|(path, seen)| match seen {
            Seen::Files(files) => (path.clone(), Some(files.clone())),
            Seen::Unread(_) => (path.clone(), None),
        });
        Self {
            store,
            told: told.collect(),
            last,
        }
    }

    /// Looks again.
    pub(super) fn look(&mut self) -> Vec<Change> {
        let now = match look(&self.store) {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, "the models could not be listed; those that are served stay");
                return Vec::new();
            }
        };
        let mut changes = Vec::new();
        for (path, seen) in &now {
            let stayed = self.last.get(path) == Some(seen);
            match seen {
                Seen::Files(files) if stayed => {
                    let told = self.told.insert(path.clone(), Some(files.clone()));
                    if told.flatten().as_ref() != Some(files) {
                        changes.push(Change::Load(path.clone()));
                    }
                }
                Seen::Files(_) => {}
                Seen::Unread(reason) if stayed => {
                    tracing::debug!(path = %path.display(), reason, "a model's directory still cannot be read");
                }
                Seen::Unread(reason) => {
                    tracing::warn!(path = %path.display(), reason, "a model's directory cannot be read; what is served of it stays");
                }
            }
        }
        let gone = |path: &Path| !now.contains_key(path) && !self.last.contains_key(path);
        self.told.retain(|path, _| {
            let gone = gone(path);
            if gone {
                changes.push(Change::Remove(name(path)));
            }
            !gone
        });
        self.last = now;
        changes
    }

    /// Tells of a directory again, though it may be as it was.
    pub(super) fn forget(&mut self, directory: &Path) {
        if let Some(told) = self.told.get_mut(directory) {
            *told = None;
        }
    }
}

/// The name of the model in a directory.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn look(store: &Path) -> Result<BTreeMap<PathBuf, Seen>, ModelError> {
    let mut there = BTreeMap::new();
    for path in list(store)? {
        match Files::of(&path) {
            Ok(files) => there.insert(path, Seen::Files(files)),
            // One that goes while it is looked at is gone at the next look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => there.insert(path, Seen::Unread(error.to_string())),
        };
    }
    Ok(there)
}

#[cfg(test)]
mod tests;
