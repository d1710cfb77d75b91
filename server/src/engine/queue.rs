//! The images that wait for an engine, in two lanes.
//!
//! The interactive lane goes first. The bulk lane does not starve: what has waited longer than its patience goes in the
//! order of age, so a bulk image waits at most that much longer than an interactive one that came with it. A batch is of
//! one lane: somebody who waits does not wait for seven who need not.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use detcon_inference::BatchLimits;
use tokio::sync::oneshot;

use super::job::{Answered, Failure, Job};
use super::urgency::Lane;
use crate::observe::EngineStats;

/// How much longer a bulk image waits than an interactive one, at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// The images that wait for an engine.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    stats: Arc<EngineStats>,
}

#[derive(Debug)]
struct Waiting {
    /// With their numbers, in the order in which they came.
    jobs: VecDeque<(u64, Job)>,
    next: u64,
    open: bool,
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(stats: Arc<EngineStats>) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                next: 0,
                open: true,
            }),
            changed: Condvar::new(),
            stats,
        }
    }

    /// Puts a job at the end of its lane. Dropped, the claim takes it out again, if it still waits.
    pub(super) fn push(self: &Arc<Self>, job: Job) -> Claim {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        if waiting.open {
            waiting.jobs.push_back((number, job));
            self.changed.notify_one();
        }
        Claim {
            queue: Arc::clone(self),
            number,
        }
    }

    /// Takes no more jobs; those that wait are still given out.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    /// Waits until there is a job. There is none any more when the queue is closed and empty.
    pub(super) fn wait(&self) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && waiting.open {
            let changed = self.changed.wait(waiting);
            waiting = changed.unwrap_or_else(PoisonError::into_inner);
        }
        !waiting.jobs.is_empty()
    }

    /// What has queued by now: the job whose turn it is and others of its kind, no more than the limits have room for,
    /// none whose time is up. Empty where no job is left.
    pub(super) fn next_batch(&self, limits: BatchLimits) -> Vec<Job> {
        let mut waiting = self.lock();
        let expired = waiting.take_expired();
        let first = waiting.first();
        let batch = first.map_or_else(Vec::new, |first| waiting.take(first, limits));
        drop(waiting);
        self.stats.expired(expired.len());
        for job in expired {
            job.answer(Err(Failure::Expired));
        }
        batch
    }

    /// Takes a job out whose client has left.
    fn leave(&self, number: u64) {
        let mut waiting = self.lock();
        let found = waiting.jobs.binary_search_by_key(&number, |(it, _)| *it);
        let left = found.ok().and_then(|index| waiting.jobs.remove(index));
        drop(waiting);
        match left {
            Some((_, job)) if job.deadline.is_past() => self.stats.expired(1),
            Some(_) => self.stats.cancelled(1),
            None => {} // it was given out
        }
    }

    /// What it guards is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take_expired(&mut self) -> Vec<Job> {
        let mut expired = Vec::new();
        if self.jobs.iter().any(|(_, job)| job.deadline.is_past()) {
            let (late, rest) = self
                .jobs
                .drain(..)
                .partition::<VecDeque<_>, _>(|(_, job)| job.deadline.is_past());
            self.jobs = rest;
            expired.extend(late.into_iter().map(|(_, job)| job));
        }
        expired
    }

    /// Index of the job whose turn it is.
    fn first(&self) -> Option<usize> {
        let of = |lane| self.jobs.iter().position(|(_, job)| job.place.lane == lane);
        match (of(Lane::Interactive), of(Lane::Bulk)) {
            (Some(interactive), Some(bulk)) => {
                let queued = |index: usize| self.jobs[index].1.queued;
                let aged = queued(bulk) + PATIENCE <= queued(interactive);
                Some(if aged { bulk } else { interactive })
            }
            (interactive, bulk) => interactive.or(bulk),
        }
    }

    /// That job and others of its kind, in order, no more than the limits have room for.
    fn take(&mut self, first: usize, limits: BatchLimits) -> Vec<Job> {
        let kind = self.jobs[first].1.kind();
        let max = limits.images_of([kind.0, kind.1]);
        let alike = self.jobs.iter().filter(|(_, job)| job.kind() == kind);
        let max = most(alike.count(), max, kind.3);
        let (mut batch, mut rest) = (Vec::with_capacity(max), VecDeque::new());
        for (number, job) in self.jobs.drain(..) {
            if batch.len() < max && job.kind() == kind {
                batch.push(job);
            } else {
                rest.push_back((number, job));
            }
        }
        self.jobs = rest;
        batch
    }
}

/// How many of `waiting` images go into a batch of `max` at most. All of them, unless few wait for somebody: then the first
/// half, which is answered earlier for it, and the others hardly later. Per image a small batch costs little more than a
/// large one.
fn most(waiting: usize, max: usize, lane: Lane) -> usize {
    match lane {
        Lane::Interactive if waiting * 2 < max => waiting.div_ceil(2),
        Lane::Interactive | Lane::Bulk => max,
    }
}

/// A job's number in a queue. Dropped, it takes the job out, if that still waits.
#[derive(Debug)]
pub(super) struct Claim {
    queue: Arc<Queue>,
    number: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.queue.leave(self.number);
    }
}

/// What an image's answer is: the output without its first axis. Dropped, it takes the image out of the queue.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) receiver: oneshot::Receiver<Answered>,
    pub(super) claim: Claim,
}

impl Answer {
    /// Waits for it.
    pub(super) async fn received(self) -> Answered {
        let Self { receiver, claim } = self;
        let answered = receiver.await.unwrap_or(Err(Failure::Gone));
        drop(claim);
        answered
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Instant;

    use detcon_inference::{InputTensor, Output};

    use super::*;
    use crate::engine::job::Place;
    use crate::engine::urgency::{Deadline, Party};
    use crate::observe::Timings;

    const ALLOWED: Duration = Duration::from_mins(1);

    /// A queue with one job of each lane, which came at these times.
    fn queue(bulk: Instant, interactive: Instant) -> (Arc<Queue>, Vec<Answer>) {
        let queue = Arc::new(Queue::new(Arc::default()));
        let lanes = [(Lane::Bulk, bulk), (Lane::Interactive, interactive)];
        let answers = lanes.map(|(lane, queued)| {
            let (reply, receiver) = oneshot::channel();
            let job = Job {
                input: InputTensor {
                    height: 1,
                    width: 1,
                    pixels: vec![0; 3],
                },
                output: Output::Embedding,
                place: Place {
                    lane,
                    _permits: [None, None],
                },
                deadline: Deadline {
                    at: Instant::now() + ALLOWED,
                    allowed: ALLOWED,
                    set_by: Party::Server,
                },
                reply,
                timings: Timings::default(),
                queued,
            };
            let claim = queue.push(job);
            Answer { receiver, claim }
        });
        (queue, answers.into())
    }

    /// Lanes in the order in which they are given out, one batch each.
    fn order(queue: &Queue) -> Vec<Lane> {
        queue.close();
        let limits = BatchLimits::of(NonZeroUsize::new(8).unwrap(), 1);
        let batches = std::iter::from_fn(|| queue.wait().then(|| queue.next_batch(limits)));
        batches
            .map(|batch| {
                assert_eq!(batch.len(), 1);
                batch[0].place.lane
            })
            .collect()
    }

    #[test]
    fn bulk_waits_for_those_who_wait_but_no_longer_than_its_patience() {
        let now = Instant::now();
        let (soon, _answers) = queue(now, now + PATIENCE / 2);
        assert_eq!(order(&soon), [Lane::Interactive, Lane::Bulk]);
        let (late, _answers) = queue(now, now + PATIENCE);
        assert_eq!(order(&late), [Lane::Bulk, Lane::Interactive]);
    }

    #[test]
    fn a_few_who_wait_are_answered_in_halves_and_a_crowd_in_full_batches() {
        let sizes = |lane| [1, 2, 3, 4, 7, 9].map(|waiting| most(waiting, 8, lane).min(waiting));
        assert_eq!(sizes(Lane::Interactive), [1, 1, 2, 4, 7, 8]);
        assert_eq!(sizes(Lane::Bulk), [1, 2, 3, 4, 7, 8]);
    }

    #[test]
    fn whoever_leaves_takes_the_image_out() {
        let now = Instant::now();
        let (queue, answers) = queue(now, now);
        drop(answers);
        assert_eq!(order(&queue), []);
    }
}
