//! Where a checkpoint is: a file, or an address to fetch it from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread::JoinHandle;

use detcon_core::digest::{sha256, sha256_file};
use ureq::http::Uri;

use crate::fetch::{FetchError, FetchOptions, fetch};
use crate::folder::{self, Shards};
use crate::mapped::MappedFile;
use crate::published;

/// Where a checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// An address: https, or http on this machine.
    Address(Uri),
}

/// Why a text is no location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// Not an address at all.
    #[error("{text} is no address: {source}")]
    Invalid {
        /// As given.
        text: String,
        /// What is wrong with it.
        source: ureq::http::uri::InvalidUri,
    },
    /// A scheme that is not read from, or not safely.
    #[error(
        "{text} is neither https:// nor gs:// (http:// is for this machine's own addresses only)"
    )]
    Scheme {
        /// As given.
        text: String,
    },
    /// No checkpoint has that short name.
    #[error(
        "no published checkpoint is called {text}: there are {}",
        published::short_names()
    )]
    ShortName {
        /// As given.
        text: String,
    },
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let owned = || text.to_owned();
        let address = match text.split_once(':') {
            Some((published::SCHEME, short)) => published::address(short)
                .ok_or_else(|| LocationError::ShortName { text: owned() })?,
            Some(("gs", rest)) if rest.starts_with("//") => {
                format!("{}{}", published::ENDPOINT, &rest[1..])
            }
            Some((_, rest)) if rest.starts_with("//") => owned(),
            _ => return Ok(Self::File(text.into())),
        };
        let uri: Uri = address.parse().map_err(|source| LocationError::Invalid {
            text: text.to_owned(),
            source,
        })?;
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_))
            | (Some("http"), Some("127.0.0.1" | "localhost" | "[::1]")) => Ok(Self::Address(uri)),
            _ => Err(LocationError::Scheme {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => {
                f.write_str(&path.file_name().unwrap_or_default().to_string_lossy())
            }
            Self::Address(uri) => uri.fmt(f),
        }
    }
}

impl Location {
    /// The file of weights, where this is a folder as the Hugging Face Hub has them.
    pub fn resolved(&self) -> Result<Self, FetchError> {
        match self {
            Self::File(path) if path.is_dir() => folder::weights(path).map(Self::File),
            Self::File(_) | Self::Address(_) => Ok(self.clone()),
        }
    }

    /// The bytes that are there, read in place. An index of shards stands for its shards. An address is fetched into the cache, or into `scratch` where there
    /// is none, with a progress bar where standard error is a terminal.
    pub fn open(&self, options: &FetchOptions, scratch: &Path) -> Result<Opened, FetchError> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Address(uri) => fetch(uri, options, scratch)?,
        };
        let (paths, tensors) = match self {
            Self::File(path) if folder::is_index(path) => {
                let Shards { files, tensors } = folder::shards(path)?;
                (files, Some(tensors))
            }
            Self::File(_) | Self::Address(_) => (vec![path.clone()], None),
        };
        let files = paths
            .iter()
            .map(|path| MappedFile::open(path).map_err(FetchError::io(path)))
            .collect::<Result<_, _>>()?;
        let mut opened = Opened {
            files,
            tensors,
            digest: Digest::start(paths),
        };
        // A file that must be a certain one is not looked into before it is known to be.
        match &options.sha256 {
            Some(expected) if opened.sha256()? != expected => Err(FetchError::Digest {
                name: self.to_string(),
                found: opened.sha256()?.to_owned(),
                expected: expected.clone(),
            }),
            _ => Ok(opened),
        }
    }
}

/// A file's SHA-256, made on a thread of its own while the file is read; of several, that of what `sha256sum` prints of
/// them.
#[derive(Debug)]
enum Digest {
    Pending(Vec<PathBuf>, Option<JoinHandle<Result<String, FetchError>>>),
    Known(String),
}

impl Digest {
    fn start(paths: Vec<PathBuf>) -> Self {
        let files = paths.clone();
        Self::Pending(paths, Some(std::thread::spawn(move || digest_of(&files))))
    }

    fn get(&mut self) -> Result<&str, FetchError> {
        if let Self::Pending(paths, thread) = self {
            let made = match thread.take().map(JoinHandle::join) {
                Some(Ok(made)) => made,
                Some(Err(_)) | None => digest_of(paths),
            };
            *self = Self::Known(made?);
        }
        match self {
            Self::Known(sha256) => Ok(sha256),
            Self::Pending(paths, _) => {
                let path = paths.first().cloned().unwrap_or_default();
                Err(FetchError::io(&path)(io::ErrorKind::Other.into()))
            }
        }
    }
}

fn digest_of(paths: &[PathBuf]) -> Result<String, FetchError> {
    let one = |path: &PathBuf| Ok(sha256_file(path).map_err(FetchError::io(path))?.0);
    if let [only] = paths {
        return one(only);
    }
    let mut lines = String::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.extend([&one(path)?, "  ", &*name, "\n"]);
    }
    Ok(sha256(lines.as_bytes()))
}

/// A checkpoint's file or shards, and their digest.
#[derive(Debug)]
pub struct Opened {
    files: Vec<MappedFile>,
    /// What shards must hold, where they are shards.
    tensors: Option<Vec<String>>,
    digest: Digest,
}

impl Opened {
    /// What is in the file, or in the first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.files.first().map_or(&[], MappedFile::bytes)
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> usize {
        self.files.iter().map(|file| file.bytes().len()).sum()
    }

    /// What is in each shard, and the tensors that they must hold, where these are shards.
    pub(crate) fn shards(&self) -> Option<(Vec<&[u8]>, &[String])> {
        let tensors = self.tensors.as_deref()?;
        Some((self.files.iter().map(MappedFile::bytes).collect(), tensors))
    }

    /// Lets go of the memory that `part` of the bytes takes.
    pub(crate) fn release(&self, part: &[u8]) {
        self.files.iter().for_each(|file| file.release(part));
    }

    /// Its SHA-256.
    pub fn sha256(&mut self) -> Result<&str, FetchError> {
        self.digest.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_files_are_told_apart() {
        let file: Location = "dir/r50.npy".parse().unwrap();
        assert_eq!(file, Location::File("dir/r50.npy".into()));
        let bucket: Location = "gs://dm-detcon/r50.npy".parse().unwrap();
        assert_eq!(
            bucket.to_string(),
            "https://storage.googleapis.com/dm-detcon/r50.npy"
        );
        let short: Location = "detcon:resnet200-imagenet".parse().unwrap();
        assert_eq!(
            short.to_string(),
            "https://storage.googleapis.com/dm-detcon/resnet200_detcon_b_imagenet_1k.npy"
        );
        assert!("http://127.0.0.1:80/r50.npy".parse::<Location>().is_ok());
    }

    #[test]
    fn addresses_that_are_not_safe_are_refused() {
        for text in [
            "http://example.com/r50.npy",
            "ftp://example.com/r50.npy",
            "file:///etc/passwd",
            "https://",
            "detcon:resnet51",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text} was accepted");
        }
    }
}
