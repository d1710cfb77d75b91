//! The files of a model in the store as they are at one moment: another model that takes the directory's place
//! meanwhile has no part in them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path};

use detcon_core::digest::sha256;
use detcon_core::model::{FileEntry, Manifest, ModelName, file};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open, openat};

use crate::models::ModelsError;

/// Longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model's directory, held open.
#[derive(Debug)]
pub(crate) struct Pinned {
    directory: OwnedFd,
    manifest: Manifest,
    own: FileEntry,
}

/// A file of a model, held open, as the manifest lists it.
#[derive(Debug)]
pub(crate) struct PinnedFile {
    pub(crate) file: File,
    pub(crate) entry: FileEntry,
}

impl Pinned {
    /// Opens the directory of the model `name` in `store`.
    pub(super) fn open(store: &Path, name: &ModelName) -> Result<Self, ModelsError> {
        let refused = |reason: String| ModelsError::Refused {
            name: name.to_string(),
            reason,
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = open(store.join(name.as_str()), flags, Mode::empty());
        let directory = directory.map_err(|_| ModelsError::Unknown {
            name: name.to_string(),
        })?;
        let unreadable = |error: io::Error| refused(format!("{} {error}", file::MANIFEST));
        let bytes = read_manifest(&directory).map_err(unreadable)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| refused(format!("{} {error}", file::MANIFEST)))?;
        let own = FileEntry {
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        };
        Ok(Self {
            directory,
            manifest,
            own,
        })
    }

    /// SHA-256 of the manifest.
    pub(crate) fn digest(&self) -> &str {
        &self.own.sha256
    }

    /// What the model is.
    pub(crate) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Every file, the manifest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &FileEntry)> {
        let others = self.manifest.files.iter();
        std::iter::once((file::MANIFEST, &self.own))
            .chain(others.map(|(name, entry)| (name.as_str(), entry)))
    }

    /// Opens a file by its name, which must be one that the manifest lists.
    pub(crate) fn file(&self, name: &str) -> Result<PinnedFile, ModelsError> {
        let unknown = || ModelsError::UnknownFile {
            path: name.chars().take(200).collect(),
        };
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let mut files = self.files();
        let entry = files.find(|file| file.0 == name && inside);
        let entry = entry.ok_or_else(unknown)?.1.clone();
        let damaged = |what: &dyn std::fmt::Display| {
            tracing::error!(model = %self.manifest.name, file = name, %what, "a file cannot be sent");
            ModelsError::Refused {
                name: self.manifest.name.to_string(),
                reason: format!("{name} is not what the manifest lists"),
            }
        };
        let file = open_in(&self.directory, name).map_err(|error| damaged(&error))?;
        let length = file.metadata().map_err(|error| damaged(&error))?.len();
        if length == entry.bytes {
            Ok(PinnedFile { file, entry })
        } else {
            Err(damaged(&format_args!(
                "{length} bytes instead of {}",
                entry.bytes
            )))
        }
    }
}

fn open_in(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ))
    }
}

fn read_manifest(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_in(directory, file::MANIFEST)?;
    let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_MANIFEST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is too long"));
    }
    Ok(bytes)
}
