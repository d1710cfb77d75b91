//! An image on its way through an engine, and the places that are free for it.

use std::time::{Duration, Instant};

use detcon_core::checkpoint::Tensor;
use detcon_inference::{InputTensor, Output};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::urgency::{Deadline, Lane};
use crate::observe::Timings;

/// The output for an image, without its first axis.
pub(super) type Answered = Result<Tensor, Failure>;

/// Why an image has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The engine failed at its batch; the log says why.
    Engine,
    /// Its time was up before its turn.
    Expired,
    /// The engine's thread has ended.
    Gone,
}

/// No room for a request's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When there should be room, by the measured pace.
    pub(super) retry_after: Duration,
}

/// Places in the queue for all images of a request, to be given to them one by one.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) all: OwnedSemaphorePermit,
    pub(super) bulk: Option<OwnedSemaphorePermit>,
}

impl Iterator for Places {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let permit = self.all.split(1)?;
        let bulk = self.bulk.as_mut();
        Some(Place {
            lane: bulk.as_ref().map_or(Lane::Interactive, |_| Lane::Bulk),
            _permits: [Some(permit), bulk.and_then(|bulk| bulk.split(1))],
        })
    }
}

/// An image's place in the queue, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) lane: Lane,
    /// One of all places, and one of the bulk lane's where it is of that: held, not read.
    pub(super) _permits: [Option<OwnedSemaphorePermit>; 2],
}

/// One image on its way through the engine.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) input: InputTensor,
    pub(super) output: Output,
    pub(super) place: Place,
    pub(super) deadline: Deadline,
    pub(super) reply: oneshot::Sender<Answered>,
    pub(super) timings: Timings,
    pub(super) queued: Instant,
}

impl Job {
    /// Jobs of one kind can share an engine call.
    pub(super) fn kind(&self) -> (usize, usize, Output, Lane) {
        let InputTensor { height, width, .. } = self.input;
        (height, width, self.output, self.place.lane)
    }

    /// Tells whoever waits.
    pub(super) fn answer(self, answer: Answered) {
        // Before the answer, so that whoever has it finds the place free.
        drop(self.place);
        // Whoever left in the meantime does not want it any more.
        let _ = self.reply.send(answer);
    }
}
