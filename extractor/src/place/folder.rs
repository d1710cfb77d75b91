//! Files below a folder of this machine. Links are followed.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Entry, Files, Held, Hidden, PlaceError, Staged};

/// Deepest folder. Links are followed, and one may lead back to a folder above it.
const DEPTH: usize = 32;
/// Read from a file at a time.
const BUFFER: usize = 1 << 20;

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            return self.root.clone();
        }
        self.root.join(name)
    }

    fn opened(&self, name: &str) -> Result<File, PlaceError> {
        File::open(self.path(name)).map_err(PlaceError::io(self.address(name)))
    }

    /// Adds the files of a folder and of those below it.
    fn collect(
        &self,
        folder: &str,
        depth: usize,
        found: &mut Vec<Entry>,
    ) -> Result<(), PlaceError> {
        let path = self.path(folder);
        if depth > DEPTH {
            let address = path.display().to_string();
            let depth = DEPTH;
            return Err(PlaceError::Depth { address, depth });
        }
        let failed = |path: &Path| PlaceError::io(path.display().to_string());
        for entry in fs::read_dir(&path).map_err(failed(&path))? {
            let entry = entry.map_err(failed(&path))?;
            let (name, path) = (entry.file_name(), entry.path());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let name = name.to_str().ok_or_else(|| PlaceError::Name {
                address: path.display().to_string(),
            })?;
            let name = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() => self.collect(&name, depth + 1, found)?,
                Ok(kind) if kind.is_file() => found.push(Entry {
                    name,
                    bytes: kind.len(),
                }),
                Ok(_) => {} // a pipe, a device
                // A link that leads nowhere: it is missed where it is read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    found.push(Entry { name, bytes: 0 });
                }
                Err(error) => return Err(failed(&path)(error)),
            }
        }
        Ok(())
    }
}

impl Files for Folder {
    fn address(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, PlaceError> {
        let mut found = Vec::new();
        self.collect(folder, 0, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, PlaceError> {
        match fs::metadata(self.path(name)) {
            Ok(found) => Ok(found.is_file().then_some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PlaceError::io(self.address(name))(error)),
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Bytes, PlaceError> {
        let file = self.opened(name)?;
        let failed = || PlaceError::io(self.address(name));
        let length = file.metadata().map_err(failed())?.len().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        let mut part = file.take(limit.saturating_add(1));
        part.read_to_end(&mut bytes).map_err(failed())?;
        Ok(bytes.into())
    }

    fn range(&self, name: &str, range: Range<u64>) -> Result<Bytes, PlaceError> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let read = self.opened(name)?.read_exact_at(&mut bytes, range.start);
        read.map_err(PlaceError::io(self.address(name)))?;
        Ok(bytes.into())
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, PlaceError> {
        let file = BufReader::with_capacity(BUFFER, self.opened(name)?);
        Ok(Box::new(file))
    }

    fn stage(&self, name: &str) -> Result<Staged, PlaceError> {
        let failed = || PlaceError::io(self.address(name));
        let hidden = self.path(&format!(".{name}.partial"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&hidden)
            .map_err(failed())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let address = self.address(name);
                return Err(PlaceError::Busy { address });
            }
            Err(TryLockError::Error(source)) => return Err(failed()(source)),
        }
        // Whoever had it before may have given it its name since it was opened: then it is no longer what is hidden here.
        let held = file.metadata().map_err(failed())?;
        let hides_it = fs::metadata(&hidden).is_ok_and(|it| it.ino() == held.ino());
        if !hides_it {
            let address = self.address(name);
            return Err(PlaceError::Busy { address });
        }
        file.set_len(0).map_err(failed())?;
        Ok(Staged {
            name: name.to_owned(),
            file,
            held: Held::Beside(Hidden(Some(hidden))),
        })
    }

    fn publish(&self, staged: Staged) -> Result<(), PlaceError> {
        let Staged { name, file, held } = staged;
        let Held::Beside(mut hidden) = held else {
            return Ok(()); // it was staged elsewhere
        };
        let mut put = || {
            file.sync_all()?;
            if let Some(path) = &hidden.0 {
                fs::rename(path, self.path(&name))?;
                hidden.0 = None; // whatever is hidden there from now on is another's
            }
            File::open(&self.root)?.sync_all()
        };
        put().map_err(PlaceError::io(self.address(&name)))
    }

    fn writable(&self) -> Result<(), PlaceError> {
        let made = fs::create_dir_all(&self.root);
        made.map_err(PlaceError::io(self.address("")))?;
        tempfile::tempfile_in(&self.root)
            .map(drop)
            .map_err(PlaceError::io(self.address("")))
    }
}
