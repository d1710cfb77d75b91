//! Adds a graph to a model directory: a whole new directory of hard links and the new files takes its place at once.

use std::fs;
use std::io;
use std::path::Path;

use detcon_core::digest::sha256;
use detcon_core::files::{Existing, StagedDirectory};
use detcon_core::model::{FileEntry, Manifest, ModelDirectory, Precision, Quality, file};

use crate::model_writer::{WriteError, json};

/// A model directory that is about to get another graph. No one else can write it meanwhile.
#[derive(Debug)]
pub(crate) struct ModelUpdate<'a> {
    model: &'a ModelDirectory,
    staged: StagedDirectory,
}

impl<'a> ModelUpdate<'a> {
    pub(crate) fn new(model: &'a ModelDirectory) -> Result<Self, WriteError> {
        let staged = StagedDirectory::new(model.path(), Existing::Replace)?;
        Ok(Self { model, staged })
    }

    /// Adds the graph of a precision, or replaces it, with what was measured of it.
    pub(crate) fn finish(
        self,
        precision: Precision,
        graph: &[u8],
        quality: Quality,
    ) -> Result<(), WriteError> {
        let name = precision.graph_file();
        let mut manifest: Manifest = self.model.manifest().clone();
        let entry = FileEntry {
            bytes: graph.len() as u64,
            sha256: sha256(graph),
        };
        manifest.files.insert(name.to_owned(), entry);
        manifest.quality.insert(precision, quality);
        if !manifest.precisions.contains(&precision) {
            manifest.precisions.push(precision);
            manifest.precisions.sort_unstable();
        }
        let staged = self.staged.path();
        link_all(self.model.path(), staged, &[name, file::MANIFEST])?;
        for (name, bytes) in [
            (name, graph),
            (file::MANIFEST, &json(file::MANIFEST, &manifest)?),
        ] {
            fs::write(staged.join(name), bytes)
                .map_err(|source| failed(Path::new(name), source))?;
        }
        Ok(self.staged.commit()?)
    }
}

/// Links every file of a directory into another, but for `replaced`: they are written anew, and writing through a
/// link would change the original.
fn link_all(from: &Path, to: &Path, replaced: &[&str]) -> Result<(), WriteError> {
    let unreadable = |source| failed(from, source);
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (source, name) = (entry.path(), entry.file_name());
        let target = to.join(&name);
        if entry.file_type().map_err(unreadable)?.is_dir() {
            fs::create_dir(&target).map_err(|error| failed(&target, error))?;
            link_all(&source, &target, &[])?;
        } else if !replaced.iter().any(|it| name == *it) {
            link(&source, &target).map_err(|error| failed(&target, error))?;
        }
    }
    Ok(())
}

/// Some file systems have no links.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    fs::hard_link(source, target).or_else(|_| fs::copy(source, target).map(drop))
}

fn failed(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io {
        name: path.display().to_string(),
        source,
    }
}
