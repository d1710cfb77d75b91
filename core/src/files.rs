//! Files and directories that appear whole or not at all, made beside their place, synced, renamed; and with the modes
//! that the process's umask leaves to them, whoever writes them.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::NamedTempFile;

/// The mode of a file, of which the umask then takes: others may read what the process's umask lets them read.
const MODE: u32 = 0o666;

/// Whether a directory may take the place of one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An error: what is there stays.
    Keep,
    /// What is there goes, in the same instant as the new one comes.
    Replace,
}

/// Why a directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Something is there already.
    #[error("{} exists: give another place, or --force to replace it", place.display())]
    Exists {
        /// The place asked for.
        place: PathBuf,
    },
    /// The path ends in no name.
    #[error("{} names no directory: end it with the directory's name", place.display())]
    NoName {
        /// The place asked for.
        place: PathBuf,
    },
    /// Another process is at it.
    #[error("another process is writing {}: wait until it is done", place.display())]
    Busy {
        /// The place asked for.
        place: PathBuf,
    },
    /// The file system said no.
    #[error("{} could not be written: {source}", place.display())]
    Io {
        /// The place asked for.
        place: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// A directory under construction beside the place it is meant for. Dropped uncommitted, it is removed.
///
/// Its name starts with a dot, so nothing takes it for a finished one; a lock held while it lives keeps two
/// writers apart, and what a killed process left is cleared when the same place is written again.
#[derive(Debug)]
pub struct StagedDirectory {
    place: PathBuf,
    staged: PathBuf,
    lock: PathBuf,
    existing: Existing,
    _held: File,
}

impl StagedDirectory {
    /// Starts one for `place`, whose parent is created where it is missing.
    pub fn new(place: &Path, existing: Existing) -> Result<Self, StageError> {
        let io = |source| StageError::Io {
            place: place.to_owned(),
            source,
        };
        let hidden = |suffix| hidden_sibling(place, suffix);
        if existing == Existing::Keep && place.symlink_metadata().is_ok() {
            return Err(StageError::Exists {
                place: place.to_owned(),
            });
        }
        let (staged, lock) = (hidden("partial")?, hidden("lock")?);
        fs::create_dir_all(parent(place)).map_err(io)?;
        let held = File::create(&lock).map_err(io)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StageError::Busy {
                    place: place.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        remove_if_there(&staged).map_err(io)?;
        fs::create_dir(&staged).map_err(io)?;
        Ok(Self {
            place: place.to_owned(),
            staged,
            lock,
            existing,
            _held: held,
        })
    }

    /// Where to write the files meanwhile.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Puts the directory in its place, with everything in it on the disk.
    pub fn commit(self) -> Result<(), StageError> {
        put(&self.staged, &self.place, self.existing)
    }
}

/// Puts the finished directory `staged` at `place` by one rename, with everything in it on the disk before. What was
/// there, where it may be replaced, is under the name `staged` afterwards. Both are on one file system.
pub fn put(staged: &Path, place: &Path, existing: Existing) -> Result<(), StageError> {
    publish(staged, place, existing).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StageError::Exists {
            place: place.to_owned(),
        },
        _ => StageError::Io {
            place: place.to_owned(),
            source,
        },
    })
}

fn publish(staged: &Path, place: &Path, existing: Existing) -> io::Result<()> {
    sync(staged)?;
    let replaces = existing == Existing::Replace && place.symlink_metadata().is_ok();
    let flags = if replaces {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NOREPLACE
    };
    renameat_with(CWD, staged, CWD, place, flags)?;
    File::open(parent(place))?.sync_all()
}

/// Brings a directory with everything in it to the disk.
fn sync(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

impl Drop for StagedDirectory {
    /// Removes what is under the hidden name: an abandoned directory, or the one that was replaced.
    fn drop(&mut self) {
        // Nothing can be reported from here, and the next writer of this place clears what stays.
        let _ = remove_if_there(&self.staged);
        let _ = fs::remove_file(&self.lock);
    }
}

/// A file in `folder` that is to be renamed to its place, with the mode of any other file: that of temporary files
/// is for their owner alone. Dropped before, it is removed.
pub fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let permissions = fs::Permissions::from_mode(MODE);
    let builder = builder.prefix(".").suffix(".partial");
    builder.permissions(permissions).tempfile_in(folder)
}

/// Has `write` write the file at `path`, which has the mode of any other file afterwards: a writer that makes a
/// temporary file and renames it leaves one that its owner alone may read.
pub fn write_by<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let made = File::options().append(true).create(true).open(path)?;
    let permissions = made.metadata()?.permissions();
    drop(made);
    write(path)?;
    Ok(fs::set_permissions(path, permissions)?)
}

/// Removes the directory at `place`, which is seen whole until it is gone. What a killed process left of a removal of the
/// same place goes too.
pub fn remove_directory(place: &Path) -> Result<(), StageError> {
    let hidden = hidden_sibling(place, "gone")?;
    let remove = || {
        remove_if_there(&hidden)?;
        fs::rename(place, &hidden)?;
        remove_if_there(&hidden)
    };
    remove().map_err(|source| StageError::Io {
        place: place.to_owned(),
        source,
    })
}

/// Removes what killed processes left of removals in `folder`; what cannot be removed now stays.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(b".gone") {
            let _ = remove_if_there(&entry.path()); // the next removal of its place tries again, and says why not
        }
    }
    Ok(())
}

fn parent(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn hidden_sibling(place: &Path, suffix: &str) -> Result<PathBuf, StageError> {
    let name = place.file_name().ok_or_else(|| StageError::NoName {
        place: place.to_owned(),
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(suffix);
    Ok(place.with_file_name(hidden))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_not_seen_before_it_is_committed_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("store/model");
        let staged = StagedDirectory::new(&place, Existing::Keep).unwrap();
        fs::write(staged.path().join("file"), b"whole").unwrap();
        assert!(!place.exists());
        staged.commit().unwrap();
        assert_eq!(fs::read(place.join("file")).unwrap(), b"whole");
        assert_eq!(names(&root.path().join("store")), ["model"]);
    }

    #[test]
    fn an_abandoned_directory_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let staged = StagedDirectory::new(&root.path().join("model"), Existing::Keep).unwrap();
        fs::write(staged.path().join("file"), b"half").unwrap();
        drop(staged);
        assert_eq!(names(root.path()), [""; 0]);
    }

    #[test]
    fn what_is_there_stays_unless_it_may_be_replaced() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("model");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("old"), b"old").unwrap();
        assert!(matches!(
            StagedDirectory::new(&place, Existing::Keep),
            Err(StageError::Exists { .. })
        ));
        let staged = StagedDirectory::new(&place, Existing::Replace).unwrap();
        fs::write(staged.path().join("new"), b"new").unwrap();
        assert_eq!(names(&place), ["old"]);
        staged.commit().unwrap();
        assert_eq!(names(&place), ["new"]);
        assert_eq!(names(root.path()), ["model"]);
    }

    #[test]
    fn a_second_writer_of_the_same_place_is_turned_away() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("model");
        let _first = StagedDirectory::new(&place, Existing::Keep).unwrap();
        assert!(matches!(
            StagedDirectory::new(&place, Existing::Keep),
            Err(StageError::Busy { .. })
        ));
    }

    #[test]
    fn what_a_killed_process_left_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".model.partial")).unwrap();
        fs::write(root.path().join(".model.partial/half"), b"half").unwrap();
        let staged = StagedDirectory::new(&root.path().join("model"), Existing::Keep).unwrap();
        assert_eq!(names(staged.path()), [""; 0]);
    }

    #[test]
    fn a_removal_leaves_nothing_and_clears_what_a_killed_one_left() {
        let root = tempfile::tempdir().unwrap();
        for left in [".model.gone", ".other.gone"] {
            fs::create_dir(root.path().join(left)).unwrap();
            fs::write(root.path().join(left).join("file"), b"left").unwrap();
        }
        let place = root.path().join("model");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("file"), b"whole").unwrap();
        remove_directory(&place).unwrap();
        assert_eq!(names(root.path()), [".other.gone"]);
        let gone = remove_directory(&place);
        assert!(
            matches!(gone, Err(StageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        );
        fs::create_dir(&place).unwrap();
        sweep(root.path()).unwrap();
        assert_eq!(names(root.path()), ["model"]);
    }

    /// The mode of a file that has no writer of its own, in this process.
    fn usual(folder: &Path) -> u32 {
        fs::write(folder.join("usual"), b"").unwrap();
        mode(&folder.join("usual"))
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn whoever_writes_a_file_it_has_the_mode_of_others() {
        let root = tempfile::tempdir().unwrap();
        let (usual, place) = (usual(root.path()), root.path().join("file"));
        // As safetensors writes: a temporary file that takes the place.
        let write = |path: &Path| {
            let mut file = NamedTempFile::new_in(root.path())?;
            io::Write::write_all(&mut file, b"whole")?;
            file.persist(path)?;
            io::Result::Ok(())
        };
        for _ in 0..2 {
            write_by(&place, write).unwrap();
            assert_eq!(
                (mode(&place), fs::read(&place).unwrap()),
                (usual, b"whole".into())
            );
        }
        let temporary = temporary_in(root.path()).unwrap();
        assert_eq!(mode(temporary.path()), usual);
        temporary.persist(&place).unwrap();
        assert_eq!(mode(&place), usual);
        assert_eq!(names(root.path()), ["file", "usual"]);
    }
}
