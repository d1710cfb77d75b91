//! Where a checkpoint is: a file, or an address to fetch it from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ureq::Agent;
use ureq::http::Uri;

/// How long to wait for a connection, and then for the first bytes of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest checkpoint that is fetched.
const MAX_BYTES: u64 = 8 << 30;
/// Where `gs://bucket/object` is read without credentials.
const GCS: &str = "https://storage.googleapis.com/";

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
}

/// Why a checkpoint could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or one that says no.
    #[error("{uri} could not be reached: {source}")]
    Unreachable {
        /// The address.
        uri: Uri,
        /// What the client said.
        source: Box<ureq::Error>,
    },
    /// The answer broke off.
    #[error("{uri} broke off after {read} bytes: {source}")]
    Interrupted {
        /// The address.
        uri: Uri,
        /// Bytes that came.
        read: u64,
        /// What the client said.
        source: io::Error,
    },
    /// The answer is larger than any checkpoint.
    #[error("{uri} is larger than {MAX_BYTES} bytes: that is no checkpoint")]
    TooLarge {
        /// The address.
        uri: Uri,
    },
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::File(text.into()));
        };
        let address = match scheme {
            "gs" => format!("{GCS}{rest}"),
            _ => text.to_owned(),
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
    /// The bytes that are there. An address is read by way of a file in `scratch`, with a progress bar where
    /// standard error is a terminal.
    pub fn read(&self, scratch: &Path) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Address(uri) => {
                let file = scratch.join("source");
                fetch(uri, &file)?;
                let bytes = read_file(&file)?;
                std::fs::remove_file(&file)
                    .map_err(|source| FetchError::Io { path: file, source })?;
                Ok(bytes)
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    std::fs::read(path).map_err(|source| FetchError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Streams `uri` to `file`, which exists whole afterwards or not at all.
fn fetch(uri: &Uri, file: &Path) -> Result<(), FetchError> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(ANSWER_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .https_only(uri.scheme_str() == Some("https"))
        .build()
        .into();
    let unreachable = |source| FetchError::Unreachable {
        uri: uri.clone(),
        source: Box::new(source),
    };
    let mut answer = agent.get(uri.clone()).call().map_err(unreachable)?;
    let length = answer.body().content_length();
    let bar = progress_bar(length);
    let io = |source| FetchError::Io {
        path: file.to_owned(),
        source,
    };
    let mut output = File::create(file).map_err(io)?;
    let mut body = answer.body_mut().as_reader();
    let mut chunk = vec![0; 1 << 18];
    let mut read = 0;
    loop {
        let interrupted = |source| FetchError::Interrupted {
            uri: uri.clone(),
            read,
            source,
        };
        let count = body.read(&mut chunk).map_err(interrupted)?;
        if count == 0 {
            break;
        }
        output.write_all(&chunk[..count]).map_err(io)?;
        read += count as u64;
        bar.set_position(read);
        if read > MAX_BYTES {
            return Err(FetchError::TooLarge { uri: uri.clone() });
        }
    }
    if length.is_some_and(|length| length != read) {
        let source = io::ErrorKind::UnexpectedEof.into();
        return Err(FetchError::Interrupted {
            uri: uri.clone(),
            read,
            source,
        });
    }
    bar.finish_and_clear();
    Ok(())
}

fn progress_bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes}, {bytes_per_sec}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well-formed"))
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
        assert!("http://127.0.0.1:80/r50.npy".parse::<Location>().is_ok());
    }

    #[test]
    fn addresses_that_are_not_safe_are_refused() {
        for text in [
            "http://example.com/r50.npy",
            "ftp://example.com/r50.npy",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text} was accepted");
        }
    }
}
