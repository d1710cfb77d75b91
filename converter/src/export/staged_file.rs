//! A file that appears whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use detcon_core::files::{Existing, StageError, temporary_in};
use tempfile::NamedTempFile;

/// A file under construction beside its place. Dropped uncommitted, it is removed.
pub(super) struct StagedFile {
    place: PathBuf,
    existing: Existing,
    file: BufWriter<NamedTempFile>,
}

impl StagedFile {
    pub(super) fn new(place: &Path, existing: Existing) -> Result<Self, StageError> {
        let io = |source| StageError::Io {
            place: place.to_owned(),
            source,
        };
        if place.file_name().is_none() {
            return Err(StageError::NoName {
                place: place.to_owned(),
            });
        }
        match (place.symlink_metadata(), existing) {
            (Ok(_), Existing::Keep) => {
                return Err(StageError::Exists {
                    place: place.to_owned(),
                });
            }
            (Ok(there), Existing::Replace) if there.is_dir() => {
                return Err(io(io::ErrorKind::IsADirectory.into()));
            }
            _ => {}
        }
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).map_err(io)?;
        let file = temporary_in(parent).map_err(io)?;
        Ok(Self {
            place: place.to_owned(),
            existing,
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    /// Where the bytes are meanwhile, for writers that want a path.
    pub(super) fn path(&self) -> &Path {
        self.file.get_ref().path()
    }

    /// Puts the file in its place, with everything in it on the disk.
    pub(super) fn commit(self) -> Result<(), StageError> {
        let place = self.place;
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => StageError::Exists {
                place: place.clone(),
            },
            _ => StageError::Io {
                place: place.clone(),
                source,
            },
        };
        let file = self
            .file
            .into_inner()
            .map_err(|error| io(error.into_error()))?;
        // By its path: a writer that wanted one may have made the file anew.
        File::open(file.path())
            .and_then(|file| file.sync_all())
            .map_err(io)?;
        let kept = match self.existing {
            Existing::Keep => file.persist_noclobber(&place),
            Existing::Replace => file.persist(&place),
        };
        kept.map(drop).map_err(|error| io(error.error))
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
