//! The scheduler: a bounded queue of images, and one thread that owns the engine and runs what has queued while it
//! was busy. No timer: an idle engine starts at once, a busy one finds its next batch waiting.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::engine::{Batch, EngineError, Output};

/// Weight of the newest measurement in the moving average of the time an image takes: 1/8.
const AVERAGE_SHIFT: u32 = 3;

/// Runs batches. The engine is one; tests have others.
pub(crate) trait Run: Send + 'static {
    /// The embeddings of a batch, row by row.
    fn run(&mut self, batch: &Batch) -> Result<Vec<f32>, EngineError>;
}

impl Run for crate::engine::Engine {
    fn run(&mut self, batch: &Batch) -> Result<Vec<f32>, EngineError> {
        Self::run(self, batch, Output::Embedding)
    }
}

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
    image: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<f32>, EngineFailed>>,
    place: Place,
}

/// Places in the queue for all images of a request, to be given to them one by one.
#[derive(Debug)]
pub(crate) struct Places(OwnedSemaphorePermit);

/// An image's place in the queue, free again when this is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

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
    thread: Option<JoinHandle<()>>,
}

impl Batcher {
    /// Starts the thread that owns `engine`. Images are `[height, width]` of `size`.
    pub(crate) fn start(
        name: &str,
        engine: impl Run,
        size: [usize; 2],
        limits: BatchLimits,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::unbounded_channel(); // bounded by the places
        let image_micros = Arc::new(AtomicU64::new(0));
        let mut worker = Worker {
            engine,
            size,
            image_micros: Arc::clone(&image_micros),
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
    pub(crate) fn submit(
        &self,
        image: Vec<u8>,
        place: Place,
    ) -> oneshot::Receiver<Result<Vec<f32>, EngineFailed>> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            image,
            reply,
            place,
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

    /// How long what is queued will take at the measured pace.
    fn retry_after(&self) -> Duration {
        let queued = (self.queue - self.places.available_permits()) as u64;
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
    size: [usize; 2],
    image_micros: Arc<AtomicU64>,
    model: String,
}

impl<E: Run> Worker<E> {
    fn work(&mut self, mut jobs: mpsc::UnboundedReceiver<Job>, max: NonZeroUsize) {
        while let Some(batch) = next_batch(&mut jobs, max) {
            self.run(batch);
        }
    }

    fn run(&mut self, jobs: Vec<Job>) {
        let start = Instant::now();
        let [height, width] = self.size;
        let mut images = Vec::with_capacity(jobs.len() * height * width * 3);
        for job in &jobs {
            images.extend_from_slice(&job.image);
        }
        let count = jobs.len();
        let batch = Batch {
            shape: [count, height, width, 3],
            images,
        };
        let embeddings = self.embed(&batch).unwrap_or_default();
        let mut rows = embeddings.chunks_exact((embeddings.len() / count).max(1));
        for job in jobs {
            let embedding = rows.next().map(<[f32]>::to_vec).ok_or(EngineFailed);
            let Job { reply, place, .. } = job;
            // Before the answer, so that whoever has it finds the place free.
            drop(place);
            // Whoever left in the meantime does not want it any more.
            let _ = reply.send(embedding);
        }
        self.measure(start.elapsed() / u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The embeddings of a batch, row by row. One that cannot be run is logged; the thread goes on to the next.
    fn embed(&mut self, batch: &Batch) -> Option<Vec<f32>> {
        let engine = &mut self.engine;
        let (model, images) = (&self.model, batch.shape[0]);
        match catch_unwind(AssertUnwindSafe(|| engine.run(batch))) {
            Ok(Ok(embeddings)) => Some(embeddings),
            Ok(Err(error)) => {
                tracing::error!(model, images, %error, "inference failed");
                None
            }
            Err(_panic) => {
                tracing::error!(model, images, "inference panicked");
                None
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

/// Takes what has queued while the engine was busy: at least one job, at most `max`, none whose client has left.
fn next_batch(jobs: &mut mpsc::UnboundedReceiver<Job>, max: NonZeroUsize) -> Option<Vec<Job>> {
    let mut batch = Vec::with_capacity(max.get());
    while batch.is_empty() {
        batch.push(jobs.blocking_recv()?); // none: every sender is gone
        while batch.len() < max.get() {
            match jobs.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        batch.retain(|job| !job.reply.is_closed());
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// First byte of an image that the engine fails at.
    const FAIL: u8 = 254;
    /// First byte of an image that the engine panics at.
    const PANIC: u8 = 255;

    /// Tells the size of each batch and waits to be let on; an image's embedding is its first byte.
    struct Gate {
        sizes: Sender<usize>,
        go: Receiver<()>,
    }

    impl Run for Gate {
        fn run(&mut self, batch: &Batch) -> Result<Vec<f32>, EngineError> {
            self.sizes.send(batch.shape[0]).unwrap();
            self.go.recv().unwrap();
            assert!(batch.images[0] != PANIC, "the engine panics, as asked");
            if batch.images[0] == FAIL {
                return Err(EngineError::Output {
                    found: Vec::new(),
                    images: batch.shape[0],
                });
            }
            Ok(batch
                .images
                .chunks(3)
                .map(|image| f32::from(image[0]))
                .collect())
        }
    }

    fn start(max_batch: usize, queue: usize) -> (Batcher, Receiver<usize>, Sender<()>) {
        let ((sizes, seen), (go, gate)) = (channel(), channel());
        let limits = BatchLimits {
            max_batch: max_batch.try_into().unwrap(),
            queue: queue.try_into().unwrap(),
        };
        let batcher = Batcher::start("test", Gate { sizes, go: gate }, [1, 1], limits).unwrap();
        (batcher, seen, go)
    }

    #[test]
    fn what_queued_while_the_engine_was_busy_is_one_batch_of_at_most_the_limit() {
        let (batcher, sizes, go) = start(3, 16);
        let mut places = batcher.admit(6).unwrap();
        let first = batcher.submit(vec![1; 3], places.next().unwrap());
        assert_eq!(sizes.recv().unwrap(), 1);
        let others: Vec<_> = (2..=6)
            .map(|i| batcher.submit(vec![i; 3], places.next().unwrap()))
            .collect();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!(first.blocking_recv().unwrap(), Ok(vec![1.0]));
        for (expected, answer) in [2.0, 3.0, 4.0, 5.0, 6.0].into_iter().zip(others) {
            assert_eq!(answer.blocking_recv().unwrap(), Ok(vec![expected]));
        }
        assert_eq!(sizes.iter().take(2).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn images_whose_client_left_are_not_run() {
        let (batcher, sizes, go) = start(8, 16);
        let mut places = batcher.admit(4).unwrap();
        let first = batcher.submit(vec![1; 3], places.next().unwrap());
        assert_eq!(sizes.recv().unwrap(), 1);
        drop(batcher.submit(vec![2; 3], places.next().unwrap()));
        let kept = batcher.submit(vec![3; 3], places.next().unwrap());
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.blocking_recv().unwrap(), Ok(vec![1.0]));
        assert_eq!(kept.blocking_recv().unwrap(), Ok(vec![3.0]));
        assert_eq!(sizes.recv().unwrap(), 1);
    }

    #[test]
    fn a_request_is_admitted_whole_or_not_at_all() {
        let (batcher, _sizes, _go) = start(8, 4);
        let held = batcher.admit(3).unwrap();
        assert!(batcher.admit(2).is_err());
        assert!(batcher.admit(1).is_ok());
        drop(held);
        assert!(batcher.admit(4).is_ok());
        assert!(batcher.admit(5).is_err());
    }

    #[test]
    fn an_image_that_is_answered_has_left_its_place() {
        let (batcher, _sizes, go) = start(1, 2);
        let mut places = batcher.admit(2).unwrap();
        let first = batcher.submit(vec![1; 3], places.next().unwrap());
        let second = batcher.submit(vec![2; 3], places.next().unwrap());
        assert!(batcher.admit(1).is_err());
        go.send(()).unwrap();
        assert_eq!(first.blocking_recv().unwrap(), Ok(vec![1.0]));
        assert!(batcher.admit(1).is_ok());
        go.send(()).unwrap();
        assert_eq!(second.blocking_recv().unwrap(), Ok(vec![2.0]));
        assert!(batcher.admit(2).is_ok());
    }

    #[test]
    fn a_failed_batch_fails_its_own_images_only() {
        for first in [FAIL, PANIC] {
            let (batcher, _sizes, go) = start(1, 4);
            let mut places = batcher.admit(2).unwrap();
            let bad = batcher.submit(vec![first; 3], places.next().unwrap());
            let good = batcher.submit(vec![7; 3], places.next().unwrap());
            go.send(()).unwrap();
            go.send(()).unwrap();
            assert_eq!(bad.blocking_recv().unwrap(), Err(EngineFailed));
            assert_eq!(good.blocking_recv().unwrap(), Ok(vec![7.0]));
        }
    }

    #[test]
    fn what_was_taken_is_finished_when_the_batcher_goes() {
        let (batcher, _sizes, go) = start(8, 4);
        let mut places = batcher.admit(1).unwrap();
        let answer = batcher.submit(vec![9; 3], places.next().unwrap());
        go.send(()).unwrap();
        drop(batcher);
        assert_eq!(answer.blocking_recv().unwrap(), Ok(vec![9.0]));
    }
}
