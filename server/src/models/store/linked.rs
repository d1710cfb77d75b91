//! Digests of files that links lead to, so that each is read once and not for every request.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use detcon_core::digest::sha256_of;

/// Digests that are kept: what is beyond them is read again.
const KEPT: usize = 1024;

/// Digests of files as they were when they were read.
#[derive(Debug, Default)]
pub(super) struct Linked(Mutex<BTreeMap<State, String>>);

/// Tells a file from all others, and from itself before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    device: u64,
    number: u64,
    length: u64,
    /// Seconds and nanoseconds of the last change of its content.
    changed: (i64, i64),
    /// The same of the last change of anything about it, which cannot be set back.
    touched: (i64, i64),
}

impl Linked {
    /// Whether a file has this SHA-256. Reads it where that is not known.
    pub(super) fn has(&self, file: &File, sha256: &str) -> io::Result<bool> {
        let state = State::of(&file.metadata()?);
        if let Some(known) = self.known().get(&state) {
            return Ok(known == sha256);
        }
        let (found, _) = sha256_of(file)?;
        let own = found == sha256;
        // One that was written to while it was read may be anything by now.
        if State::of(&file.metadata()?) == state {
            let mut known = self.known();
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(state, found);
        }
        Ok(own)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<State, String>> {
        // Whatever a holder that panicked left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            touched: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
