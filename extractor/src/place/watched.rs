//! Streams that remember why they could not be read: what a file holds and what its place says are told apart.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Place, PlaceError};

/// What a place said when something of it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<PlaceError>>>);

impl Failure {
    /// Keeps it, and says it in few words.
    pub fn keep(&self, error: PlaceError) -> String {
        let told = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }

    /// What was kept.
    #[must_use]
    pub fn take(&self) -> Option<PlaceError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A file of a place, from its beginning.
#[expect(
    missing_debug_implementations,
    reason = "a stream shows nothing of itself"
)]
pub struct Watched {
    stream: Box<dyn Read + Send>,
    address: String,
    failure: Failure,
}

impl Watched {
    /// Opens a file, and gives with it what will say why it cannot be read.
    pub fn open(place: &Place, name: &str) -> Result<(Self, Failure), PlaceError> {
        let failure = Failure::default();
        let watched = Self {
            stream: place.open(name)?,
            address: place.address(name),
            failure: failure.clone(),
        };
        Ok((watched, failure))
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = match self.stream.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => error,
            read => return read,
        };
        let error = PlaceError::of_stream(&self.address, error);
        Err(io::Error::other(self.failure.keep(error)))
    }
}
