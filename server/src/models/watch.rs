//! The watch of the store: models that come, change and go while the server runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use detcon_core::model::list;

/// What is to be done about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is something new in it.
    Load(PathBuf),
    /// It is gone.
    Remove(String),
}

/// A store as it was when it was last looked at. What changes is told when it has stayed as it is from one look to the
/// next: a directory that is being copied is not a model yet, and one that is being replaced is not gone.
#[derive(Debug)]
pub(crate) struct Watch {
    store: PathBuf,
    /// What was told of each directory.
    told: BTreeMap<PathBuf, Files>,
    /// What was there at the last look.
    last: BTreeMap<PathBuf, Files>,
}

/// Every file of a directory, sorted: its name, length, time of change and number in the file system.
type Files = Vec<(OsString, u64, SystemTime, u64)>;

impl Watch {
    /// A watch that has told of everything that is there.
    pub(crate) fn new(store: PathBuf) -> Self {
        let now = look(&store).unwrap_or_default();
        Self {
            store,
            told: now.clone(),
            last: now,
        }
    }

    /// Looks again.
    pub(crate) fn look(&mut self) -> Vec<Change> {
        let now = match look(&self.store) {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, "the models could not be listed; those that are served stay");
                return Vec::new();
            }
        };
        let mut changes = Vec::new();
        for (path, files) in &now {
            if self.told.get(path) != Some(files) && self.last.get(path) == Some(files) {
                self.told.insert(path.clone(), files.clone());
                changes.push(Change::Load(path.clone()));
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
}

/// The name of the model in a directory.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn look(store: &Path) -> Result<BTreeMap<PathBuf, Files>, detcon_core::model::ModelError> {
    let directories = list(store)?.into_iter();
    // One that goes while it is looked at is gone at the next look.
    let seen = directories.filter_map(|path| files(&path).ok().map(|files| (path, files)));
    Ok(seen.collect())
}

fn files(directory: &Path) -> io::Result<Files> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let number = number(&metadata);
        files.push((
            entry.file_name(),
            metadata.len(),
            metadata.modified()?,
            number,
        ));
    }
    files.sort();
    Ok(files)
}

/// Tells a file from one that has taken its place.
#[cfg(unix)]
fn number(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// As above; elsewhere length and time have to do.
#[cfg(not(unix))]
const fn number(_metadata: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn store() -> (tempfile::TempDir, PathBuf) {
        let store = tempfile::tempdir().unwrap();
        let model = store.path().join("a");
        fs::create_dir(&model).unwrap();
        fs::write(model.join("manifest.json"), "1").unwrap();
        (store, model)
    }

    #[test]
    fn what_stays_as_it_is_is_told_of_once() {
        let (store, model) = store();
        let mut watch = Watch::new(store.path().to_owned());
        assert_eq!(watch.look(), []);
        fs::write(model.join("model.onnx"), "12").unwrap();
        assert_eq!(watch.look(), [], "it may be being written");
        fs::write(model.join("model.onnx"), "123").unwrap();
        assert_eq!(watch.look(), [], "it was");
        assert_eq!(watch.look(), [Change::Load(model)]);
        assert_eq!(watch.look(), []);
    }

    #[test]
    fn a_file_of_the_same_length_that_takes_anothers_place_is_a_change() {
        let (store, model) = store();
        let mut watch = Watch::new(store.path().to_owned());
        fs::write(store.path().join(".new"), "2").unwrap();
        fs::rename(store.path().join(".new"), model.join("manifest.json")).unwrap();
        assert_eq!(watch.look(), []);
        assert_eq!(watch.look(), [Change::Load(model)]);
    }

    #[test]
    fn a_directory_that_is_away_for_a_moment_is_not_gone() {
        let (store, model) = store();
        let (hidden, other) = (store.path().join(".a"), store.path().join("b"));
        let mut watch = Watch::new(store.path().to_owned());
        fs::rename(&model, &hidden).unwrap();
        assert_eq!(watch.look(), []);
        fs::rename(&hidden, &model).unwrap();
        assert_eq!(watch.look(), []);
        fs::rename(&model, &other).unwrap();
        assert_eq!(watch.look(), []);
        let changes = [Change::Load(other), Change::Remove("a".to_owned())];
        assert_eq!(watch.look(), changes);
        assert_eq!(watch.look(), []);
    }

    #[test]
    fn a_store_that_cannot_be_listed_has_not_changed() {
        let (store, _) = store();
        let mut watch = Watch::new(store.path().to_owned());
        drop(store);
        assert_eq!(watch.look(), []);
        assert_eq!(watch.look(), []);
    }
}
