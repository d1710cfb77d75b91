//! What became of uploads: one record for each, for as long as the process runs or until newer ones push it out.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard};

/// Finished records that are kept.
const KEPT: usize = 100;
/// Why an upload ended that nothing else was said about.
const BROKE_OFF: &str = "it broke off: upload it again";

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its bytes are arriving.
    Receiving,
    /// It waits for those before it.
    Queued,
    /// It is being made a model directory of.
    Converting,
    /// The directory is being held against its manifest and its self-check.
    Verifying,
    /// The model is in the store; the SHA-256 of its manifest.
    Done(String),
    /// Nothing was stored, for this reason.
    Failed(String),
}

impl Phase {
    const fn is_over(&self) -> bool {
        match self {
            Self::Done(_) | Self::Failed(_) => true,
            Self::Receiving | Self::Queued | Self::Converting | Self::Verifying => false,
        }
    }
}

/// An upload.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// What it is called.
    pub(crate) id: String,
    /// Name of the model that it is to become.
    pub(crate) model: String,
    /// How far it has come.
    pub(crate) phase: Phase,
    /// Bytes that have arrived.
    pub(crate) received: u64,
    /// Bytes that the client said it would send, if it did.
    pub(crate) announced: Option<u64>,
}

/// Every upload, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Imports(Mutex<VecDeque<Record>>);

impl Imports {
    fn records(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.0.lock().expect("no holder panics")
    }

    /// The records, the oldest first.
    pub(crate) fn list(&self) -> Vec<Record> {
        self.records().iter().cloned().collect()
    }

    /// The record of this id.
    pub(crate) fn find(&self, id: &str) -> Option<Record> {
        self.records()
            .iter()
            .find(|record| record.id == id)
            .cloned()
    }

    /// Starts a record; it is written on through its progress.
    pub(super) fn start(
        self: &Arc<Self>,
        id: &str,
        model: &str,
        announced: Option<u64>,
    ) -> Progress {
        let mut records = self.records();
        let over = records.iter().filter(|record| record.phase.is_over());
        if over.count() >= KEPT {
            let oldest = records.iter().position(|record| record.phase.is_over());
            oldest.map(|oldest| records.remove(oldest));
        }
        records.push_back(Record {
            id: id.to_owned(),
            model: model.to_owned(),
            phase: Phase::Receiving,
            received: 0,
            announced,
        });
        Progress {
            imports: Arc::clone(self),
            id: id.to_owned(),
        }
    }
}

/// The right to write on one record. Dropped before the end is told, it tells that the upload broke off.
#[derive(Debug)]
pub(crate) struct Progress {
    imports: Arc<Imports>,
    id: String,
}

impl Progress {
    /// What the upload is called.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn reach(&self, phase: Phase) {
        self.write(|record| record.phase = phase);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.write(|record| record.received = bytes);
    }

    pub(super) fn fail(&self, reason: &dyn Display) {
        self.reach(Phase::Failed(reason.to_string()));
    }

    fn write(&self, change: impl FnOnce(&mut Record)) {
        let mut records = self.imports.records();
        let record = records.iter_mut().find(|record| record.id == self.id);
        record.map(change);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.write(|record| {
            if !record.phase.is_over() {
                record.phase = Phase::Failed(BROKE_OFF.to_owned());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_is_given_up_has_failed() {
        let imports = Arc::new(Imports::default());
        let progress = imports.start("a", "model", Some(10));
        progress.received(3);
        let record = imports.find("a").unwrap();
        assert_eq!((record.phase, record.received), (Phase::Receiving, 3));
        drop(progress);
        let failed = Phase::Failed(BROKE_OFF.to_owned());
        assert_eq!(imports.find("a").unwrap().phase, failed);
    }

    #[test]
    fn old_records_make_room_and_those_at_work_stay() {
        let imports = Arc::new(Imports::default());
        let at_work = imports.start("at work", "model", None);
        for id in 0..2 * KEPT {
            let progress = imports.start(&id.to_string(), "model", None);
            progress.reach(Phase::Done(String::new()));
        }
        assert_eq!(imports.list().len(), KEPT + 1);
        assert!(imports.find(at_work.id()).is_some());
        assert!(imports.find("0").is_none());
    }
}
