//! The scheduler: a bounded queue of images, and one thread that owns the engine and runs what has queued while it
//! was busy. No timer: an idle engine starts at once, a busy one finds its next batch waiting.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detcon_core::checkpoint::Tensor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::engine::{Batch, EngineError, Output};
use crate::observe::{Phase, Timings};
use crate::stats::EngineStats;

/// Weight of the newest measurement in the moving average of the time an image takes: 1/8.
const AVERAGE_SHIFT: u32 = 3;

/// Runs batches. The engine is one; tests have others.
pub(crate) trait Run: Send + 'static {
    /// An output for a batch; its first axis is the batch's.
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError>;
}

impl Run for crate::engine::Engine {
    fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError> {
        Self::run(self, batch, output)
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

/// What an image's answer is: the output without its first axis.
pub(crate) type Answer = oneshot::Receiver<Result<Tensor, EngineFailed>>;

/// The engine failed at a batch; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineFailed;

/// No room for a request's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// When there should be room, by the measured pace.
    pub retry_after: Duration,
}

/// One image on its way through the engine.
struct Job {
    input: InputTensor,
    output: Output,
    reply: oneshot::Sender<Result<Tensor, EngineFailed>>,
    place: Place,
    queued: Instant,
    timings: Timings,
}

impl Job {
    /// Jobs of one kind can share an engine call.
    const fn kind(&self) -> (usize, usize, Output) {
        (self.input.height, self.input.width, self.output)
    }
}

/// Places in the queue for all images of a request, to be given to them one by one.
#[derive(Debug)]
pub(crate) struct Places(OwnedSemaphorePermit);

/// An image's place in the queue, free again when this is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Places {
    /// All of them together, as the place of the only image.
    pub(crate) fn into_one(self) -> Place {
        self.0
    }
}

impl Iterator for Places {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        self.0.split(1)
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

/// The queue in front of an engine's thread. Dropped, it lets the thread finish what was taken and end.
#[derive(Debug)]
pub(crate) struct Batcher {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    places: Arc<Semaphore>,
    queue: usize,
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
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::unbounded_channel(); // bounded by the places
        let image_micros = Arc::new(AtomicU64::new(0));
        let stats = Arc::new(EngineStats::default());
        let mut worker = Worker {
            engine,
            pending: VecDeque::new(),
            image_micros: Arc::clone(&image_micros),
            stats: Arc::clone(&stats),
            model: name.to_owned(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("engine {name}"))
            .spawn(move || worker.work(receiver, limits.max_batch))?;
        let queue = limits.queue.get();
        let places = Arc::new(Semaphore::new(queue));
        Ok(Self {
            jobs: Some(jobs),
            places,
            queue,
            image_micros,
            stats,
            thread: Some(thread),
        })
    }

    /// Takes places for all of a request's images, or none.
    pub(crate) fn admit(&self, images: usize) -> Result<Places, Full> {
        let full = || Full {
            retry_after: self.retry_after(),
        };
        let count = u32::try_from(images).map_err(|_| full())?;
        let permit = Arc::clone(&self.places)
            .try_acquire_many_owned(count)
            .map_err(|_| full())?;
        Ok(Places(permit))
    }

    /// Queues an image; the answer comes on the receiver. Dropping that takes the image out again.
    #[must_use]
    pub(crate) fn submit(&self, input: InputTensor, output: Output, place: Place) -> Answer {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            input,
            output,
            reply,
            place,
            queued: Instant::now(),
            timings: Timings::current(),
        };
        if let Some(jobs) = &self.jobs {
            // Where the thread has ended the job is dropped, and its receiver says so.
            let _ = jobs.send(job);
        }
        answer
    }

    /// Most images of one request that can ever be admitted.
    #[must_use]
    pub(crate) const fn capacity(&self) -> usize {
        self.queue
    }

    /// What its engine has done.
    #[must_use]
    pub(crate) fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// Images from admission to answer.
    #[must_use]
    pub(crate) fn queued(&self) -> usize {
        self.queue - self.places.available_permits()
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
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches the engine's panics; one of its own it has reported itself.
            let _ = thread.join();
        }
    }
}

struct Worker<E> {
    engine: E,
    /// Taken from the channel and not run yet.
    pending: VecDeque<Job>,
    image_micros: Arc<AtomicU64>,
    stats: Arc<EngineStats>,
    model: String,
}

impl<E: Run> Worker<E> {
    fn work(&mut self, mut jobs: mpsc::UnboundedReceiver<Job>, max: NonZeroUsize) {
        while let Some(batch) = self.next_batch(&mut jobs, max) {
            self.run(batch);
        }
    }

    /// Takes what has queued while the engine was busy: the oldest job and up to `max` of its kind, none whose
    /// client has left. Nothing when every sender is gone.
    fn next_batch(
        &mut self,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        max: NonZeroUsize,
    ) -> Option<Vec<Job>> {
        loop {
            if self.pending.is_empty() {
                self.pending.push_back(jobs.blocking_recv()?);
            }
            while let Ok(job) = jobs.try_recv() {
                self.pending.push_back(job);
            }
            let before = self.pending.len();
            self.pending.retain(|job| !job.reply.is_closed());
            let left = before - self.pending.len();
            self.stats.cancelled(left);
            if let Some(kind) = self.pending.front().map(Job::kind) {
                return Some(self.take(kind, max.get()));
            }
        }
    }

    fn take(&mut self, kind: (usize, usize, Output), max: usize) -> Vec<Job> {
        let (mut batch, mut rest) = (Vec::with_capacity(max), VecDeque::new());
        for job in self.pending.drain(..) {
            if batch.len() < max && job.kind() == kind {
                batch.push(job);
            } else {
                rest.push_back(job);
            }
        }
        self.pending = rest;
        batch
    }

    fn run(&mut self, jobs: Vec<Job>) {
        let start = Instant::now();
        let (height, width, output) = jobs[0].kind();
        let mut images = Vec::with_capacity(jobs.len() * height * width * 3);
        for job in &jobs {
            images.extend_from_slice(&job.input.pixels);
            job.timings.add(Phase::Queue, start - job.queued);
        }
        let count = jobs.len();
        let batch = Batch {
            shape: [count, height, width, 3],
            images,
        };
        let mut answers = self.answers(&batch, output).into_iter();
        let took = start.elapsed();
        self.stats.batch_ran(count, took);
        for Job {
            reply,
            place,
            timings,
            ..
        } in jobs
        {
            timings.add(Phase::Infer, took);
            // Before the answer, so that whoever has it finds the place free.
            drop(place);
            // Whoever left in the meantime does not want it any more.
            let _ = reply.send(answers.next().ok_or(EngineFailed));
        }
        self.measure(took / u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// One answer an image. A batch that cannot be run has none and is logged; the thread goes on to the next.
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
                Vec::new()
            }
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
