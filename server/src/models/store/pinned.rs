//! The files of a model in the store as they are at one moment: another model that takes the directory's place
//! meanwhile has no part in them, nor has anything that the model's manifest does not name.
//!
//! Directories may be laid with links, as Kubernetes and the Hub's cache lay theirs. Where a link leads is nobody's
//! promise, so what is behind one is sent only if it has the digest that the manifest lists.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path};
use std::sync::Arc;

use detcon_core::digest::sha256;
use detcon_core::model::{FileEntry, Manifest, ModelName, file};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

use super::linked::Linked;
use crate::models::ModelsError;

/// Longest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model's directory, held open.
#[derive(Debug)]
pub(crate) struct Pinned {
    linked: Arc<Linked>,
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
    pub(super) fn open(
        store: &Path,
        name: &ModelName,
        linked: Arc<Linked>,
    ) -> Result<Self, ModelsError> {
        let refused = |reason: String| ModelsError::Refused {
            name: name.to_string(),
            reason,
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = open(store.join(name.as_str()), flags, Mode::empty());
        let directory = directory.map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => ModelsError::Unknown {
                name: name.to_string(),
            },
            error => refused(format!("its directory cannot be read: {error}")),
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
            linked,
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
        let Opened { file, way } =
            open_in(&self.directory, name).map_err(|error| damaged(&error))?;
        let length = file.metadata().map_err(|error| damaged(&error))?.len();
        if length != entry.bytes {
            let listed = entry.bytes;
            return Err(damaged(&format_args!("{length} bytes instead of {listed}")));
        }
        let own = match way {
            Way::Direct => true,
            Way::Links => self
                .linked
                .has(&file, &entry.sha256)
                .map_err(|error| damaged(&error))?,
        };
        if own {
            Ok(PinnedFile { file, entry })
        } else {
            Err(damaged(&"a link leads to something else"))
        }
    }
}

/// A file that was opened by its name in a directory.
struct Opened {
    file: File,
    way: Way,
}

/// How a name led to a file.
enum Way {
    /// Through folders of the directory.
    Direct,
    /// Through a link, anywhere.
    Links,
}

/// Never waits for the other end of a pipe.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

fn open_in(directory: &OwnedFd, name: &str) -> io::Result<Opened> {
    let (file, way) = match open_directly(directory, name) {
        Ok(file) => (file, Way::Direct),
        // What the system says of a link where none is followed: of a folder's it says that it is no folder.
        Err(Errno::LOOP | Errno::NOTDIR) => {
            (openat(directory, name, FLAGS, Mode::empty())?, Way::Links)
        }
        Err(error) => return Err(error.into()),
    };
    let file = File::from(file);
    if file.metadata()?.is_file() {
        Ok(Opened { file, way })
    } else {
        let reason = "it is not a regular file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
    }
}

/// Opens a file without following a link.
fn open_directly(directory: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = FLAGS.union(OFlags::NOFOLLOW);
    match name.split_once('/') {
        None => openat(directory, name, flags, Mode::empty()),
        Some((folder, rest)) => {
            let flags = flags.union(OFlags::DIRECTORY);
            open_directly(&openat(directory, folder, flags, Mode::empty())?, rest)
        }
    }
}

fn read_manifest(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_in(directory, file::MANIFEST)?.file;
    let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_MANIFEST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is too long"));
    }
    Ok(bytes)
}
