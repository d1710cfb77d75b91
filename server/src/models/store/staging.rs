//! Where uploads are made: a folder in the store that nothing lists, on the file system that the models are on.
//!
//! Every server that may write holds a shared lock on it for as long as it lives. One that starts and is alone
//! clears what a killed process left, and only what has the name of an upload.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder's name: the dot keeps it out of the list of models.
const FOLDER: &str = ".detcon-staging";
/// How the name of an upload's directory begins.
const PREFIX: &str = "upload-";
/// Letters and digits of an upload's id.
const ID_LENGTH: usize = 12;
/// The file that is locked.
const LOCK: &str = "lock";

/// The folder of uploads.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    _alive: File,
}

/// The directory of one upload: removed, with everything in it, when this is dropped.
#[derive(Debug)]
pub(super) struct UploadDirectory {
    id: String,
    directory: TempDir,
}

impl Staging {
    /// Opens the folder in `store`, made where it is missing, and clears it where no other server uses it.
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        let folder = store.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let alive = File::create(folder.join(LOCK))?;
        match alive.try_lock() {
            Ok(()) => sweep(&folder)?,
            Err(TryLockError::WouldBlock) => {
                tracing::info!(
                    "another server writes to the store: what uploads left stays for now"
                );
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        alive.unlock()?;
        alive.lock_shared()?;
        Ok(Self {
            folder,
            _alive: alive,
        })
    }

    /// A directory for one upload.
    pub(super) fn upload(&self) -> io::Result<UploadDirectory> {
        let mut builder = tempfile::Builder::new();
        let directory = builder.prefix(PREFIX).rand_bytes(ID_LENGTH);
        let directory = directory.tempdir_in(&self.folder)?;
        let name = directory.path().file_name().unwrap_or_default();
        let id = name.to_string_lossy().replacen(PREFIX, "", 1);
        Ok(UploadDirectory { id, directory })
    }
}

impl UploadDirectory {
    /// What it is called.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of uploads.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_upload(&entry) {
            fs::remove_dir_all(entry.path())?;
            tracing::info!(upload = ?entry.file_name(), "what an upload left was removed");
        }
    }
    Ok(())
}

/// Whether this is a directory with the name of an upload.
fn is_upload(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    let named = id.is_some_and(|id| {
        id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    named && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_server_left_is_removed_and_nothing_else() {
        let store = tempfile::tempdir().unwrap();
        let left = Staging::open(store.path()).unwrap().upload().unwrap();
        let left = left.directory.keep();
        fs::write(left.join("half"), b"half").unwrap();
        let others = ["upload-short", "upload-with.a.dot.1", "notes"];
        for name in others {
            fs::create_dir(store.path().join(FOLDER).join(name)).unwrap();
        }
        let _again = Staging::open(store.path()).unwrap();
        assert!(!left.exists());
        for name in others {
            assert!(store.path().join(FOLDER).join(name).exists(), "{name}");
        }
    }

    #[test]
    fn what_another_server_is_at_stays() {
        let store = tempfile::tempdir().unwrap();
        let first = Staging::open(store.path()).unwrap();
        let upload = first.upload().unwrap();
        let second = Staging::open(store.path()).unwrap();
        assert!(upload.path().exists());
        let (path, id) = (upload.path().to_owned(), second.upload().unwrap().id);
        assert_ne!(upload.id, id);
        drop(upload);
        assert!(!path.exists());
    }
}
