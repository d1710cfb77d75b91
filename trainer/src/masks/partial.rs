//! A shard under construction: a hidden file beside its place, synced and renamed once it is whole.
//!
//! It is locked while it is written, so two processes never write one shard. What a killed process left is begun anew.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::MasksError;
use super::journal::{Journal, sync_folder};
use super::summary::ShardReport;
use detcon_data::shards::ShardName;
use detcon_data::tfrecord::RecordWriter;

/// Written to a file at a time.
const BUFFER: usize = 1 << 20;

/// A shard that is being written, and what is in it so far.
pub(super) struct PartialShard {
    name: ShardName,
    place: PathBuf,
    hidden: PathBuf,
    records: RecordWriter<BufWriter<File>>,
    pub(super) report: ShardReport,
}

impl PartialShard {
    pub(super) fn open(output: &Path, name: ShardName) -> Result<Self, MasksError> {
        let place = output.join(name.to_string());
        let hidden = output.join(format!(".{name}.partial"));
        let busy = || MasksError::Busy {
            path: place.clone(),
        };
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&hidden)
            .map_err(MasksError::io(&hidden))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(source)) => return Err(MasksError::io(&hidden)(source)),
        }
        // Another process may have finished the shard between the opening and the lock; this is its file then.
        if place.exists() {
            return Err(busy());
        }
        file.set_len(0).map_err(MasksError::io(&hidden))?;
        Ok(Self {
            name,
            place,
            hidden,
            records: RecordWriter::new(BufWriter::with_capacity(BUFFER, file)),
            report: ShardReport::default(),
        })
    }

    pub(super) fn write(&mut self, payload: &[u8]) -> Result<(), MasksError> {
        self.records
            .write(payload)
            .map_err(MasksError::io(&self.hidden))
    }

    /// Puts the shard in its place, with its report in the journal first.
    pub(super) fn commit(self, journal: &Journal) -> Result<ShardReport, MasksError> {
        let mut report = self.report;
        let mut buffer = self.records.into_inner();
        let io = |source| MasksError::io(&self.place)(source);
        buffer.flush().map_err(io)?;
        let file = buffer.get_ref();
        file.sync_all().map_err(io)?;
        report.bytes = file.metadata().map_err(io)?.len();
        journal.keep(self.name, &report)?;
        fs::rename(&self.hidden, &self.place).map_err(io)?;
        sync_folder(self.place.parent().unwrap_or(Path::new("."))).map_err(io)?;
        Ok(report)
    }
}
