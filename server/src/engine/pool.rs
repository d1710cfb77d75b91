//! Room for work on images, for all requests together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::urgency::Lane;

/// Room for work on images. Bulk work may use all of it, but only so much of it waits for room at a time as there is:
/// an image that somebody waits for never has more than that before it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// Room for one image's work, free again when this is dropped.
pub(super) struct Room {
    _all: Option<OwnedSemaphorePermit>,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Room for the work on `threads` images at the same time.
    pub(super) fn new(threads: usize) -> Self {
        let room = || Arc::new(Semaphore::new(threads));
        Self {
            all: room(),
            bulk: room(),
        }
    }

    /// Waits for room. The semaphores are never closed.
    pub(super) async fn room(&self, lane: Lane) -> Room {
        let bulk = match lane {
            Lane::Interactive => None,
            Lane::Bulk => Arc::clone(&self.bulk).acquire_owned().await.ok(),
        };
        Room {
            _all: Arc::clone(&self.all).acquire_owned().await.ok(),
            _bulk: bulk,
        }
    }
}
