//! The scheduler: a bounded queue of images, and one thread that owns the engine and runs what has queued while it
//! was busy. No timer: an idle engine starts at once, a busy one finds its next batch waiting.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detcon_core::checkpoint::Tensor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::budget::Turns;
use crate::demand::{Deadline, Lane};
use crate::engine::{Batch, EngineError, Output};
use crate::observe::{Phase, Timings};
use crate::stats::EngineStats;

pub(crate) use crate::queue::{Answer, Place};
use crate::queue::{Job, Queue};

/// Weight of the newest measurement in the moving average of the time an image takes: 1/8.
const AVERAGE_SHIFT: u32 = 3;

/// Runs batches. The engine is one; tests have others.
pub(crate) trait Run: Send + 'static {
    /// An output for a batch; its first axis is the batch's.
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError>;

    /// Starts anew, after a panic.
    fn reopen(&mut self) -> Result<(), EngineError>;
}

impl Run for crate::engine::Engine {
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError> {
        Self::run(self, batch, output)
    }

    fn reopen(&mut self) -> Result<(), EngineError> {
        Self::reopen(self)
    }
}

/// A preprocessed image: the graph's input without its first axis.
#[derive(Clone, Debug)]
pub(crate) struct InputTensor {
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
    /// uint8 RGB, row by row.
    pub(crate) pixels: Vec<u8>,
}

/// The output for an image, without its first axis.
pub(crate) type Answered = Result<Tensor, Failure>;

/// Why an image has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The engine failed at its batch; the log says why.
    Engine,
    /// Its time was up before its turn.
    Expired,
    /// The engine's thread has ended.
    Gone,
}

/// No room for a request's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// When there should be room, by the measured pace.
    pub retry_after: Duration,
}

/// Places in the queue for all images of a request, to be given to them one by one.
#[derive(Debug)]
pub(crate) struct Places {
    all: OwnedSemaphorePermit,
    bulk: Option<OwnedSemaphorePermit>,
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

/// How a batcher groups and bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// Most images in one engine call.
    pub max_batch: NonZeroUsize,
    /// Most images from admission to answer.
    pub queue: NonZeroUsize,
}

impl BatchLimits {
    /// Most images of a lane: bulk leaves a quarter of the places to those who wait.
    const fn places(self, lane: Lane) -> usize {
        let all = self.queue.get();
        match lane {
            Lane::Interactive => all,
            Lane::Bulk => all - all / 4,
        }
    }
}

/// The queue in front of an engine's thread. Dropped, it lets the thread finish what was taken and end.
#[derive(Debug)]
pub(crate) struct Batcher {
    queue: Arc<Queue>,
    limits: BatchLimits,
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    image_micros: Arc<AtomicU64>,
    stats: Arc<EngineStats>,
    thread: Option<JoinHandle<()>>,
}

impl Batcher {
    /// Starts the thread that owns `engine`.
    pub(crate) fn start(
        name: &str,
        engine: impl Run,
        limits: BatchLimits,
        turns: Turns,
        stats: Arc<EngineStats>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(Arc::clone(&stats)));
        let image_micros = Arc::new(AtomicU64::new(0));
        let mut worker = Worker {
            engine,
            queue: Arc::clone(&queue),
            turns,
            image_micros: Arc::clone(&image_micros),
            stats: Arc::clone(&stats),
            model: name.to_owned(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("engine {name}"))
            .spawn(move || worker.work(limits.max_batch))?;
        Ok(Self {
            queue,
            limits,
            all: Arc::new(Semaphore::new(limits.places(Lane::Interactive))),
            bulk: Arc::new(Semaphore::new(limits.places(Lane::Bulk))),
            image_micros,
            stats,
            thread: Some(thread),
        })
    }

    /// Takes places for all of a request's images, or none.
    pub(crate) fn admit(&self, images: usize, lane: Lane) -> Result<Places, Full> {
        let places = self.places(images, lane).ok_or_else(|| Full {
            retry_after: self.retry_after(),
        });
        if places.is_err() {
            self.stats.shed(images);
        }
        places
    }

    fn places(&self, images: usize, lane: Lane) -> Option<Places> {
        let count = u32::try_from(images).ok()?;
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_many_owned(count).ok();
        let bulk = match lane {
            Lane::Interactive => None,
            Lane::Bulk => Some(take(&self.bulk)?),
        };
        let all = take(&self.all)?;
        Some(Places { all, bulk })
    }

    /// Queues an image; the answer comes later. Dropping that takes the image out again.
    #[must_use]
    pub(crate) fn submit(
        &self,
        input: InputTensor,
        output: Output,
        place: Place,
        deadline: Deadline,
    ) -> Answer {
        let (reply, receiver) = oneshot::channel();
        let ticket = self.queue.push(Job {
            input,
            output,
            place,
            deadline,
            reply,
            timings: Timings::current(),
            queued: Instant::now(),
        });
        Answer { receiver, ticket }
    }

    /// Most images of one request that can ever be admitted.
    #[must_use]
    pub(crate) const fn capacity(&self, lane: Lane) -> usize {
        self.limits.places(lane)
    }

    /// What its engine has done.
    #[must_use]
    pub(crate) const fn stats(&self) -> &Arc<EngineStats> {
        &self.stats
    }

    /// Images from admission to answer.
    #[must_use]
    pub(crate) fn queued(&self) -> usize {
        self.capacity(Lane::Interactive) - self.all.available_permits()
    }

    /// How long what is queued will take at the measured pace.
    fn retry_after(&self) -> Duration {
        let queued = self.queued() as u64;
        Duration::from_micros(
            self.image_micros
                .load(Ordering::Relaxed)
                .saturating_mul(queued),
        )
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // The thread catches the engine's panics; one of its own it has reported itself.
            let _ = thread.join();
        }
    }
}

struct Worker<E> {
    engine: E,
    queue: Arc<Queue>,
    turns: Turns,
    image_micros: Arc<AtomicU64>,
    stats: Arc<EngineStats>,
    model: String,
}

impl<E: Run> Worker<E> {
    fn work(&mut self, max: NonZeroUsize) {
        while let Some(batch) = self.queue.next_batch(max) {
            self.run(batch);
        }
    }

    fn run(&mut self, jobs: Vec<Job>) {
        let (taken, turns) = (Instant::now(), self.turns.clone());
        let turn = turns.take();
        let start = Instant::now();
        let (first, count) = (&jobs[0], jobs.len());
        let (output, (height, width)) = (first.output, (first.input.height, first.input.width));
        let mut images = Vec::with_capacity(count * height * width * 3);
        for job in &jobs {
            images.extend_from_slice(&job.input.pixels);
            job.timings.add(Phase::Queue, start - job.queued);
        }
        let batch = Batch {
            shape: [count, height, width, 3],
            images,
        };
        let mut answers = self.answers(&batch, output).into_iter();
        drop(turn);
        let took = start.elapsed();
        self.stats.batch_ran(count, took);
        for job in jobs {
            job.timings.add(Phase::Infer, took);
            job.answer(answers.next().ok_or(Failure::Engine));
        }
        // With what other models' engines took meanwhile: that is the pace at which the queue empties.
        self.measure(taken.elapsed() / u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// One answer an image. A batch that cannot be run has none and is logged; the thread goes on to the next, with an
    /// engine that is opened anew where this one panicked.
    fn answers(&mut self, batch: &Batch, output: Output) -> Vec<Tensor> {
        let engine = &mut self.engine;
        let (model, images) = (&self.model, batch.shape[0]);
        let run = || {
            engine
                .run(batch, output)
                .map(|answers| rows(&answers, images))
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => {
                self.stats.failed();
                tracing::error!(model, images, %error, "inference failed");
                Vec::new()
            }
            Err(_panic) => {
                self.stats.panicked();
                tracing::error!(model, images, "inference panicked");
                self.reopen();
                Vec::new()
            }
        }
    }

    /// An engine that cannot be opened anew is kept as it is: perhaps the next batch can be run.
    fn reopen(&mut self) {
        let (model, engine) = (&self.model, &mut self.engine);
        match catch_unwind(AssertUnwindSafe(|| engine.reopen())) {
            Ok(Ok(())) => {
                self.stats.restarted();
                tracing::warn!(model, "the engine was opened anew");
            }
            Ok(Err(error)) => tracing::error!(model, %error, "the engine could not be opened anew"),
            Err(_panic) => tracing::error!(model, "opening the engine anew panicked"),
        }
    }

    /// Keeps the moving average of the time an image takes.
    fn measure(&self, image: Duration) {
        let new = u64::try_from(image.as_micros()).unwrap_or(u64::MAX);
        let old = self.image_micros.load(Ordering::Relaxed);
        let average = if old == 0 {
            new
        } else {
            old - (old >> AVERAGE_SHIFT) + (new >> AVERAGE_SHIFT)
        };
        self.image_micros.store(average, Ordering::Relaxed);
    }
}

/// The output for each image of a batch.
fn rows(answers: &Tensor, images: usize) -> Vec<Tensor> {
    let shape = &answers.shape()[1..];
    let rows = answers
        .values()
        .chunks_exact((answers.values().len() / images).max(1));
    rows.map(|row| Tensor::new(shape.to_vec(), row.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests;
