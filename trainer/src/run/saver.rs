//! Checkpoints are written by a thread while training goes on, one at a time.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use super::RunError;
use super::checkpoint::{Snapshot, write};

/// Writes the checkpoints of a run.
#[derive(Debug)]
pub(super) struct Saver {
    run: PathBuf,
    keep: NonZeroUsize,
    writing: Option<JoinHandle<Result<PathBuf, RunError>>>,
}

impl Saver {
    pub(super) const fn new(run: PathBuf, keep: NonZeroUsize) -> Self {
        Self {
            run,
            keep,
            writing: None,
        }
    }

    /// Begins to write. It waits for the checkpoint before, and says how that ended.
    pub(super) fn begin(&mut self, snapshot: Snapshot) -> Option<Result<PathBuf, RunError>> {
        let before = self.finish();
        let (run, keep) = (self.run.clone(), self.keep);
        self.writing = Some(thread::spawn(move || write(&run, snapshot, keep)));
        before
    }

    /// How the checkpoint ended that was written last, where it has ended.
    pub(super) fn ended(&mut self) -> Option<Result<PathBuf, RunError>> {
        if self.writing.as_ref()?.is_finished() {
            self.finish()
        } else {
            None
        }
    }

    /// Waits for the checkpoint that is being written, if one is.
    pub(super) fn finish(&mut self) -> Option<Result<PathBuf, RunError>> {
        let written = self.writing.take()?.join();
        Some(written.unwrap_or(Err(RunError::Saver)))
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.finish();
    }
}
