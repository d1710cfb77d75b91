//! Fetching a checkpoint over HTTP into a cache: whole, checked, and resumed where a transfer broke off.
//!
//! A redirect may lead to another place on the same server, or from https to https on a public address; anything
//! else (another scheme, this machine, a private network) is refused.

mod cache;
mod client;
mod listing;
mod pace;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use detcon_core::digest::sha256_file;
use ureq::http::Uri;

use crate::progress;
use cache::{Cache, Entry, Partial};
use client::{Answer, Client, Content};
pub use listing::{Listed, list};
use pace::Pace;

/// Largest checkpoint that is fetched.
const MAX_BYTES: u64 = 8 << 30;
/// Read at a time.
const CHUNK: usize = 1 << 18;
/// How often a transfer that breaks off is taken up again without anything new having come.
const ATTEMPTS: usize = 4;

/// How to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Where fetched files are kept; none means for the time of the import only.
    pub cache: Option<PathBuf>,
    /// Use the cache alone.
    pub offline: bool,
    /// What the file's SHA-256 must be, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// How long a server may send nothing.
    pub patience: Patience,
}

/// How long a server may send nothing of an answer that it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

/// Why a checkpoint could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("{uri} could not be reached: {source}; what was fetched before is used with --offline")]
    Unreachable {
        /// The address.
        uri: String,
        /// What the client said.
        source: Box<ureq::Error>,
    },
    /// An answer that says no.
    #[error("{uri} answers {status}")]
    Status {
        /// The address.
        uri: String,
        /// The status code.
        status: u16,
    },
    /// A redirect that is not followed.
    #[error("{uri} redirects to {target}, which is not followed: {reason}")]
    Redirect {
        /// The address.
        uri: String,
        /// Where it redirects.
        target: String,
        /// Why that is refused.
        reason: &'static str,
    },
    /// The answer broke off.
    #[error(
        "{uri} broke off after {read} bytes: {source}; run the command again to go on from there"
    )]
    Interrupted {
        /// The address.
        uri: String,
        /// Bytes that are there.
        read: u64,
        /// What the client said.
        source: io::Error,
    },
    /// The answer is not what it says it is.
    #[error("{uri} gives an answer that cannot be used: {detail}")]
    Answer {
        /// The address.
        uri: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The answer is larger than any checkpoint.
    #[error("{uri} is larger than {MAX_BYTES} bytes: that is no checkpoint")]
    TooLarge {
        /// The address.
        uri: String,
    },
    /// Nothing was fetched before.
    #[error("{uri} is not in the cache: run once without --offline")]
    NotCached {
        /// The address.
        uri: String,
    },
    /// The file is another one.
    #[error("{name} has the SHA-256 {found}, not {expected}: it is another file, or it is damaged")]
    Digest {
        /// The file or address.
        name: String,
        /// Its digest.
        found: String,
        /// The one asked for.
        expected: String,
    },
    /// A folder without a file of weights.
    #[error("{} is a folder, and none of {expected} is in it: give the file", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// An index of shards that cannot be used.
    #[error("{} is no index of shards: {detail}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl FetchError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            path: path.clone(),
            source,
        }
    }
}

/// Fetches `uri` and gives the file that holds it: in the cache, or in `scratch` where there is none.
pub fn fetch(uri: &Uri, options: &FetchOptions, scratch: &Path) -> Result<PathBuf, FetchError> {
    let cache = Cache::open(options.cache.as_deref().unwrap_or(scratch), uri)?;
    let cached = cache.entry();
    if options.offline {
        let entry = cached.ok_or_else(|| FetchError::NotCached {
            uri: uri.to_string(),
        })?;
        return checked(uri, &cache, &entry, options);
    }
    // A file that is known by its digest need not be asked about.
    if let Some(entry) = &cached
        && options.sha256.as_ref() == Some(&entry.sha256)
    {
        return checked(uri, &cache, entry, options);
    }
    let transfer = Transfer {
        uri,
        cache: &cache,
        patience: options.patience,
    };
    let entry = match transfer.run(cached.as_ref())? {
        Some(entry) => entry,
        None => cached.ok_or_else(|| FetchError::NotCached {
            uri: uri.to_string(),
        })?,
    };
    checked(uri, &cache, &entry, options)
}

fn checked(
    uri: &Uri,
    cache: &Cache,
    entry: &Entry,
    options: &FetchOptions,
) -> Result<PathBuf, FetchError> {
    match &options.sha256 {
        Some(expected) if *expected != entry.sha256 => {
            cache.forget()?;
            Err(FetchError::Digest {
                name: uri.to_string(),
                found: entry.sha256.clone(),
                expected: expected.clone(),
            })
        }
        _ => Ok(cache.data()),
    }
}

/// A file on its way into the cache.
struct Transfer<'t> {
    uri: &'t Uri,
    cache: &'t Cache,
    patience: Patience,
}

impl Transfer<'_> {
    /// Nothing where the server says that the cached file is still right. A transfer that breaks off or stands still is gone
    /// on with, as long as something came since the last time or the attempts are not used up.
    fn run(&self, cached: Option<&Entry>) -> Result<Option<Entry>, FetchError> {
        let client = Client::new(self.uri, self.patience);
        let mut fruitless = 0;
        loop {
            let partial = self.cache.partial();
            let before = partial.as_ref().map_or(0, |partial| partial.bytes);
            let etag = cached.and_then(|entry| entry.etag.as_deref());
            let answer = client.get(partial.as_ref(), etag)?;
            match self.receive(partial, answer) {
                Err(FetchError::Interrupted { read, .. }) if fruitless < ATTEMPTS => {
                    // What cannot be gone on with is fetched from its start, which brings nothing new.
                    let more = read > before && self.cache.partial().is_some();
                    fruitless = if more { 0 } else { fruitless + 1 };
                }
                done => return done,
            }
        }
    }

    fn receive(
        &self,
        partial: Option<Partial>,
        answer: Answer,
    ) -> Result<Option<Entry>, FetchError> {
        let (mut body, start) = match answer {
            Answer::NotModified => return Ok(None),
            Answer::Whole(body) => (body, 0),
            Answer::Rest(body) => (body, partial.map_or(0, |partial| partial.bytes)),
        };
        self.copy(&mut body, start)?;
        let io = FetchError::io(&self.cache.partial_data());
        let (sha256, bytes) = sha256_file(&self.cache.partial_data()).map_err(io)?;
        let entry = Entry {
            uri: self.uri.to_string(),
            etag: body.etag,
            bytes,
            sha256,
        };
        self.cache.keep(&entry)?;
        Ok(Some(entry))
    }

    /// Writes what comes behind what is there up to `start`.
    fn copy(&self, body: &mut Content, start: u64) -> Result<(), FetchError> {
        let length = body.length.map(|length| length.saturating_add(start));
        if length.is_some_and(|length| length > MAX_BYTES) {
            return Err(self.too_large());
        }
        let mut output = self.cache.receive(start, body.etag.as_deref())?;
        let io = FetchError::io(&self.cache.partial_data());
        let bar = progress::receiving(length);
        let mut pace = Pace::new(start, self.patience);
        let mut chunk = vec![0; CHUNK];
        let mut read = start;
        loop {
            let next = body.reader.read(&mut chunk);
            let count = next.map_err(|source| self.interrupted(read, source))?;
            if count == 0 {
                break;
            }
            output.write_all(&chunk[..count]).map_err(&io)?;
            read += count as u64;
            bar.reach(read);
            if read > MAX_BYTES {
                return Err(self.too_large());
            }
            if pace.stands_still(read) {
                return Err(self.interrupted(read, io::ErrorKind::TimedOut.into()));
            }
        }
        if length.is_some_and(|length| length != read) {
            return Err(self.interrupted(read, io::ErrorKind::UnexpectedEof.into()));
        }
        output.sync_all().map_err(&io)
    }

    fn too_large(&self) -> FetchError {
        FetchError::TooLarge {
            uri: self.uri.to_string(),
        }
    }

    fn interrupted(&self, read: u64, source: io::Error) -> FetchError {
        FetchError::Interrupted {
            uri: self.uri.to_string(),
            read,
            source,
        }
    }
}
