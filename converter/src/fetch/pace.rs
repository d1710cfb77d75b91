//! How fast a transfer is: a server that sends a byte now and then stands still as much as one that sends none.

use std::time::Instant;

use super::Patience;

/// Least that comes in as long as a server may send nothing: one that sends a byte now and then stands still as well.
const LEAST: u64 = 1 << 10;

/// How fast a transfer is.
pub(super) struct Pace {
    since: Instant,
    read: u64,
    patience: Patience,
}

impl Pace {
    pub(super) fn new(read: u64, patience: Patience) -> Self {
        Self {
            since: Instant::now(),
            read,
            patience,
        }
    }

    /// Whether less than [`LEAST`] has come in the time in which something must.
    pub(super) fn stands_still(&mut self, read: u64) -> bool {
        if read - self.read >= LEAST {
            *self = Self::new(read, self.patience);
        }
        self.since.elapsed() > self.patience.0
    }
}
