//! Adds to a model directory: a whole new directory of hard links and the new files takes its place at once.

use std::fs;
use std::io;
use std::path::Path;

use super::head::HeadEntry;
use super::{FileEntry, Manifest, ModelDirectory, ModelError, ModelName, Precision, Quality, file};
use crate::checkpoint::{FileError, Tensors, tensors_to_bytes};
use crate::digest::sha256;
use crate::files::{Existing, StageError, StagedDirectory};

/// Why nothing was added. The directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The directory could not be replaced.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The directory is no whole model, or would be none.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights could not be written.
    #[error(transparent)]
    Tensors(#[from] FileError),
    /// A file could not be written.
    #[error("{name} could not be written: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The manifest could not be written.
    #[error("the manifest could not be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The model has a head of this name.
    #[error("the model has a head {name} already: give another name, or --replace to replace it")]
    HeadExists {
        /// The head.
        name: ModelName,
    },
    /// The directory holds other weights than those that were read.
    #[error(
        "the model's weights were replaced meanwhile: what was made for those of before is not added"
    )]
    Replaced,
}

/// A model directory that is about to get further files. No one else can write it meanwhile.
#[derive(Debug)]
pub struct ModelUpdate {
    model: ModelDirectory,
    staged: StagedDirectory,
}

impl ModelUpdate {
    /// Begins with what the directory of `model` holds now, which has the same weights or is refused.
    pub fn new(model: &ModelDirectory) -> Result<Self, UpdateError> {
        let staged = StagedDirectory::new(model.path(), Existing::Replace)?;
        if model.is_unchanged() {
            let model = model.clone();
            return Ok(Self { model, staged });
        }
        let current = ModelDirectory::open(model.path())?;
        let weights = |model: &ModelDirectory| model.manifest().files.get(file::BACKBONE).cloned();
        if weights(&current) != weights(model) {
            return Err(UpdateError::Replaced);
        }
        let model = current;
        Ok(Self { model, staged })
    }

    /// Adds the graph of a precision, or replaces it, with what was measured of it.
    pub fn add_graph(
        self,
        precision: Precision,
        graph: &[u8],
        quality: Quality,
    ) -> Result<(), UpdateError> {
        let mut manifest: Manifest = self.model.manifest().clone();
        manifest.quality.insert(precision, quality);
        if !manifest.precisions.contains(&precision) {
            manifest.precisions.push(precision);
            manifest.precisions.sort_unstable();
        }
        self.finish(manifest, precision.graph_file(), graph)
    }

    /// Adds a segmentation head, whose tensors fit what `entry` says, or replaces it where that is allowed.
    pub fn add_head(
        self,
        name: &ModelName,
        entry: HeadEntry,
        tensors: &Tensors,
        existing: Existing,
    ) -> Result<(), UpdateError> {
        let mut manifest: Manifest = self.model.manifest().clone();
        entry.check(name, manifest.spec, tensors)?;
        let before = manifest.segmentation_heads.insert(name.clone(), entry);
        if before.is_some() && existing == Existing::Keep {
            return Err(UpdateError::HeadExists { name: name.clone() });
        }
        self.finish(manifest, &file::head(name), &tensors_to_bytes(tensors)?)
    }

    fn finish(self, mut manifest: Manifest, name: &str, bytes: &[u8]) -> Result<(), UpdateError> {
        let entry = FileEntry {
            bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        };
        manifest.files.insert(name.to_owned(), entry);
        let staged = self.staged.path();
        let replaced = [name, file::MANIFEST].map(|name| staged.join(name));
        link_all(self.model.path(), staged, &replaced)?;
        let manifest = manifest.to_bytes()?;
        for (path, bytes) in replaced.iter().zip([bytes, &manifest]) {
            let parent = path.parent().unwrap_or(staged);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, bytes));
            written.map_err(|source| failed(path, source))?;
        }
        Ok(self.staged.commit()?)
    }
}

/// Links every file of a directory into another, but for those that become `replaced`: they are written anew, and
/// writing through a link would change the original. A file that is a symbolic link is what it leads to: where it
/// leads depends on where it is. What has a dot in front is no file of a model.
fn link_all(from: &Path, to: &Path, replaced: &[impl AsRef<Path>]) -> Result<(), UpdateError> {
    let unreadable = |source| failed(from, source);
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden || replaced.iter().any(|it| target == it.as_ref()) {
            continue;
        }
        let source = fs::canonicalize(&source).map_err(|error| failed(&source, error))?;
        if source.is_dir() {
            fs::create_dir(&target).map_err(|error| failed(&target, error))?;
            link_all(&source, &target, replaced)?;
        } else {
            link(&source, &target).map_err(|error| failed(&target, error))?;
        }
    }
    Ok(())
}

/// Some file systems have no links.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    fs::hard_link(source, target).or_else(|_| fs::copy(source, target).map(drop))
}

fn failed(path: &Path, source: io::Error) -> UpdateError {
    UpdateError::Io {
        name: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As the Hub's cache and as Kubernetes lay directories; both ways lead nowhere from another place.
    #[test]
    fn files_that_are_links_are_taken_over_as_what_they_lead_to() {
        let root = tempfile::tempdir().unwrap();
        let (blobs, model) = (root.path().join("blobs"), root.path().join("a/b/model"));
        let version = model.join("..2026");
        for folder in [&blobs, &version, &version.join("heads")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(blobs.join("1"), "one").unwrap();
        fs::write(version.join("two"), "two").unwrap();
        fs::write(version.join("heads/three"), "three").unwrap();
        fs::write(model.join("four"), "four").unwrap();
        symlink("..2026", model.join("..data")).unwrap();
        symlink("../../../blobs/1", model.join("one")).unwrap();
        symlink("..data/two", model.join("two")).unwrap();
        symlink("..data/heads", model.join("heads")).unwrap();
        let staged = root.path().join("staged");
        fs::create_dir(&staged).unwrap();
        link_all(&model, &staged, &[staged.join("four")]).unwrap();
        fs::remove_dir_all(&model).unwrap();
        for (name, content) in [("one", "one"), ("two", "two"), ("heads/three", "three")] {
            assert_eq!(fs::read_to_string(staged.join(name)).unwrap(), content);
        }
        assert_eq!(fs::read_dir(&staged).unwrap().count(), 3);
    }
}
