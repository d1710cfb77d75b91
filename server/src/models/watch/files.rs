//! What tells one state of a model's directory from another, wherever its links lead.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Folders in folders that are looked into: a model has its heads in one.
const DEPTH: usize = 2;

/// Everything in a directory by its path there, with the directory itself under none: what each is, or what the link
/// leads to; nothing where that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<PathBuf, Option<Stamp>>);

/// Tells a file from one that has taken its place, and from itself before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    length: u64,
    /// Seconds and nanoseconds of the last change of its content.
    changed: (i64, i64),
}

impl Files {
    /// Those of a directory. An error where any of it cannot be read: what is not known has not changed.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let itself = Stamp::of(&fs::metadata(directory)?);
        let mut files = Self([(PathBuf::new(), Some(itself))].into());
        files.take(directory, &PathBuf::new(), DEPTH)?;
        Ok(files)
    }

    fn take(&mut self, root: &Path, folder: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(root.join(folder))? {
            let path = folder.join(entry?.file_name());
            // By its path: that of an entry does not follow links.
            let found = match fs::metadata(root.join(&path)) {
                Ok(found) => Some(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            self.0.insert(path.clone(), found.as_ref().map(Stamp::of));
            if depth > 0 && found.is_some_and(|found| found.is_dir()) {
                self.take(root, &path, depth - 1)?;
            }
        }
        Ok(())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
