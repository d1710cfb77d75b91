//! What was fetched before: for each address a file, a note of what it is, and what has come of one so far.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::FetchError;

/// Hexadecimal digits of an address's digest that name its files.
const KEY_DIGITS: usize = 32;

/// The note beside a whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) uri: String,
    /// What the server calls this version, if it says.
    pub(super) etag: Option<String>,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// What has come of a file, and of which version.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) etag: String,
    pub(super) bytes: u64,
}

/// The files of one address. While it lives no other process works on them.
pub(super) struct Cache {
    base: PathBuf,
    _held: File,
}

impl Cache {
    pub(super) fn open(folder: &Path, uri: &Uri) -> Result<Self, FetchError> {
        fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
        let base = folder.join(&sha256(uri.to_string().as_bytes())[..KEY_DIGITS]);
        let lock = base.with_extension("lock");
        let held = File::create(&lock).map_err(FetchError::io(&lock))?;
        held.lock().map_err(FetchError::io(&lock))?;
        Ok(Self { base, _held: held })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.base.with_extension("data")
    }

    pub(super) fn partial_data(&self) -> PathBuf {
        self.base.with_extension("partial")
    }

    fn note(&self) -> PathBuf {
        self.base.with_extension("json")
    }

    /// The version of what has come so far, as the server calls it.
    fn partial_version(&self) -> PathBuf {
        self.base.with_extension("etag")
    }

    /// The whole file's note, where both are there and fit each other.
    pub(super) fn entry(&self) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(&fs::read(self.note()).ok()?).ok()?;
        (fs::metadata(self.data()).ok()?.len() == entry.bytes).then_some(entry)
    }

    /// What can be gone on from: bytes whose version is known.
    pub(super) fn partial(&self) -> Option<Partial> {
        let etag = fs::read_to_string(self.partial_version()).ok()?;
        let bytes = fs::metadata(self.partial_data()).ok()?.len();
        (bytes > 0).then_some(Partial { etag, bytes })
    }

    /// The file to write to from `start` on. A weak or missing `etag` cannot tell versions apart later.
    pub(super) fn receive(&self, start: u64, etag: Option<&str>) -> Result<File, FetchError> {
        let path = self.partial_data();
        let io = FetchError::io(&path);
        if start == 0 {
            remove(&self.partial_version())?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(start == 0)
            .open(&path)
            .map_err(&io)?;
        file.set_len(start).map_err(&io)?;
        file.seek(SeekFrom::Start(start)).map_err(&io)?;
        if let Some(etag) = etag.filter(|etag| etag.starts_with('"')) {
            let version = self.partial_version();
            fs::write(&version, etag).map_err(FetchError::io(&version))?;
        }
        Ok(file)
    }

    /// What has come is whole.
    pub(super) fn keep(&self, entry: &Entry) -> Result<(), FetchError> {
        let note = self.note();
        remove(&note)?; // a note beside another file would be wrong
        let (from, to) = (self.partial_data(), self.data());
        fs::rename(&from, &to).map_err(FetchError::io(&to))?;
        remove(&self.partial_version())?;
        let json = serde_json::to_vec_pretty(entry).map_err(io::Error::other);
        json.and_then(|json| fs::write(&note, json))
            .map_err(FetchError::io(&note))
    }

    pub(super) fn forget(&self) -> Result<(), FetchError> {
        remove(&self.note())?;
        remove(&self.data())
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FetchError::io(path)(error)),
        _ => Ok(()),
    }
}
