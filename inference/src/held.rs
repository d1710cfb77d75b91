//! A file of a model directory that is held open: what has the directory's place later changes nothing of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use detcon_core::digest::sha256;
use detcon_core::model::{FileEntry, ModelDirectory, ModelError};

use crate::error::InferenceError;

/// A file, held open, with what the manifest says of it.
#[derive(Debug)]
pub(crate) struct HeldFile {
    name: String,
    file: File,
    entry: FileEntry,
}

impl HeldFile {
    /// Opens the file `name` of a directory whose manifest lists it.
    pub(crate) fn open(directory: &ModelDirectory, name: &str) -> Result<Self, ModelError> {
        let path = directory.path().join(name);
        let entry = directory.manifest().files.get(name);
        let entry = entry.ok_or_else(|| ModelError::NotListed {
            name: name.to_owned(),
        })?;
        let file = File::open(&path).map_err(|source| ModelError::Io { path, source })?;
        Ok(Self {
            name: name.to_owned(),
            file,
            entry: entry.clone(),
        })
    }

    /// Its name in the directory.
    pub(crate) fn name(&self) -> &Path {
        Path::new(&self.name)
    }

    /// All of it, with the manifest's digest.
    pub(crate) fn read(&self) -> Result<Vec<u8>, InferenceError> {
        let changed = |what: String| InferenceError::Changed {
            name: self.name.clone(),
            what,
        };
        let length = self.file.metadata().map_err(|it| changed(it.to_string()))?;
        if length.len() != self.entry.bytes {
            let (found, listed) = (length.len(), self.entry.bytes);
            return Err(changed(format!("{found} bytes instead of {listed}")));
        }
        let length = usize::try_from(self.entry.bytes).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, 0);
        read.map_err(|it| changed(it.to_string()))?;
        if sha256(&bytes) == self.entry.sha256 {
            Ok(bytes)
        } else {
            Err(changed("its SHA-256 is another".to_owned()))
        }
    }
}
