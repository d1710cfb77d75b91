//! The scheduler: a bounded queue of images, and one thread that owns the engine and runs what has queued while it
//! was busy. No timer: an idle engine starts at once, a busy one finds its next batch waiting.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detcon_core::checkpoint::Tensor;
use detcon_inference::{Batch, BatchLimits, InferenceError, InputTensor, Output};
use tokio::sync::{Semaphore, oneshot};

use super::job::{Failure, Full, Job, Place, Places};
use super::queue::{Answer, Queue};
use super::turns::{Turn, Turns};
use super::urgency::{Deadline, Lane};
use crate::observe::{EngineStats, Phase, Timings};

/// Weight of the newest measurement in the moving average of the time an image takes: 1/8.
const AVERAGE_SHIFT: u32 = 3;

/// Runs batches. The engine is one; tests have others.
pub(crate) trait Run: Send + 'static {
    /// An output for each image of a batch, in their order.
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Vec<Tensor>, InferenceError>;

    /// Starts anew, after a panic.
    fn reopen(&mut self) -> Result<(), InferenceError>;
}

impl Run for detcon_inference::Engine {
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Vec<Tensor>, InferenceError> {
        Self::run(self, batch, output)
    }

    fn reopen(&mut self) -> Result<(), InferenceError> {
        Self::reopen(self)
    }
}

/// How a batcher groups and bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Most in one engine call.
    pub(crate) batch: BatchLimits,
    /// Most images from admission to answer.
    pub(crate) queue: NonZeroUsize,
}

impl QueueLimits {
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
    limits: QueueLimits,
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
        limits: QueueLimits,
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
            .spawn(move || worker.work(limits.batch))?;
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
    pub(super) fn admit(&self, images: usize, lane: Lane) -> Result<Places, Full> {
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
    pub(super) fn submit(
        &self,
        input: InputTensor,
        output: Output,
        place: Place,
        deadline: Deadline,
    ) -> Answer {
        let (reply, receiver) = oneshot::channel();
        let claim = self.queue.push(Job {
            input,
            output,
            place,
            deadline,
            reply,
            timings: Timings::current(),
            queued: Instant::now(),
        });
        Answer { receiver, claim }
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
    /// The turn comes first, and the batch is chosen in it: what came, left or expired while others computed counts.
    fn work(&mut self, limits: BatchLimits) {
        let turns = self.turns.clone();
        while self.queue.wait() {
            let asked = Instant::now();
            let turn = turns.take();
            let batch = self.queue.next_batch(limits);
            if !batch.is_empty() {
                self.run(batch, asked, turn);
            }
        }
    }

    fn run(&mut self, jobs: Vec<Job>, asked: Instant, turn: Turn<'_>) {
        let start = Instant::now();
        let (first, count) = (&jobs[0], jobs.len());
        let (output, (height, width)) = (first.output, (first.input.height, first.input.width));
        let images = jobs.iter().map(|job| job.input.pixels.as_slice());
        let batch = Batch::of([height, width], images);
        for job in &jobs {
            job.timings.add(Phase::Queue, start - job.queued);
        }
        let mut answers = self.answers(&batch, output).into_iter();
        drop(turn);
        let took = start.elapsed();
        self.stats.batch_ran(count, took);
        for job in jobs {
            job.timings.add(Phase::Infer, took);
            job.answer(answers.next().ok_or(Failure::Engine));
        }
        // With what other models' engines took meanwhile: that is the pace at which the queue empties.
        self.measure(asked.elapsed() / u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// One answer an image. A batch that cannot be run has none and is logged; the thread goes on to the next, with an
    /// engine that is opened anew where this one panicked.
    fn answers(&mut self, batch: &Batch, output: Output) -> Vec<Tensor> {
        let engine = &mut self.engine;
        let (model, images) = (&self.model, batch.shape[0]);
        let run = || engine.run(batch, output);
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

#[cfg(test)]
mod tests;
