//! From encoded images to embeddings: admission, decoding and preprocessing on a bounded pool, the engine's queue.

mod several;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::{self, ImageError, ImageLimits, RgbImage};
use detcon_core::preprocess::{Preprocess, Scratch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::batch::{Answer, Answered, Failure, Full, InputTensor, Place, Places};
use crate::demand::{Deadline, Demand, Lane, Party};
use crate::engine::Output;
use crate::observe::{Phase, Timings};
use crate::problem::Problem;
use crate::registry::Model;
pub(crate) use several::Inputs;

/// What all requests share: the pool, and what an image may be.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pool: Pool,
    limits: ImageLimits,
    timeout: Duration,
}

impl Pipeline {
    /// At most `threads` images are decoded at the same time, of all requests together; no request is worked on for
    /// longer than `timeout`.
    #[must_use]
    pub(crate) fn new(threads: usize, limits: ImageLimits, timeout: Duration) -> Self {
        Self {
            pool: Pool::new(threads),
            limits,
            timeout,
        }
    }

    /// Begins to work on a request that has arrived as a whole.
    pub(crate) fn begin(&self, demand: Demand) -> Work {
        Work {
            pipeline: self.clone(),
            deadline: demand.deadline(self.timeout),
            lane: demand.lane,
        }
    }
}

/// The work on one request, which ends when its time is up. Dropped, it ends too: what waits for the pool or for the
/// engine does so no longer.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pipeline: Pipeline,
    deadline: Deadline,
    lane: Lane,
}

impl Work {
    /// The embeddings of a request's images, in order. All are taken or none; one that cannot be decoded refuses
    /// the request, and the others are taken out of the queue again.
    pub(crate) async fn embed(
        &self,
        model: &Arc<Model>,
        images: Vec<Bytes>,
    ) -> Result<Vec<Tensor>, Problem> {
        let places = self.admit(model, images.len())?;
        let work = async {
            let mut decoding = JoinSet::new();
            let mut answers: Vec<Option<Answer>> = images.iter().map(|_| None).collect();
            for (index, (bytes, place)) in images.into_iter().zip(places).enumerate() {
                let queued = self.clone().enqueue(index, bytes, Arc::clone(model), place);
                decoding.spawn(Timings::current().scope(queued));
            }
            while let Some(done) = decoding.join_next().await {
                let (index, answer) = done.map_err(|error| panicked(&error))??;
                answers[index] = Some(answer);
            }
            let mut embeddings = Vec::with_capacity(answers.len());
            for answer in answers.into_iter().flatten() {
                embeddings.push(self.read(answer.received().await)?);
            }
            Ok(embeddings)
        };
        self.in_time(work).await
    }

    /// An output for one image that is preprocessed already and has its place.
    pub(crate) async fn features(
        &self,
        model: &Arc<Model>,
        place: Place,
        input: InputTensor,
        stage: Stage,
    ) -> Result<Tensor, Problem> {
        let output = Output::Features(stage);
        let answer = model.batcher().submit(input, output, place, self.deadline);
        self.in_time(async { self.read(answer.received().await) })
            .await
    }

    /// Takes a place for the only image of a request, before any work is done for it.
    pub(crate) fn place(&self, model: &Model) -> Result<Place, Problem> {
        // Where there are places for one image, there is one.
        self.admit(model, 1)?.next().ok_or(Problem::Internal)
    }

    /// Takes places for all of a request's images, or none. Each is free again when its image is done.
    fn admit(&self, model: &Model, images: usize) -> Result<Places, Problem> {
        Timings::current().of(model.batcher().stats());
        if self.deadline.is_past() {
            return Err(self.late());
        }
        let limit = model.batcher().capacity(self.lane);
        if images > limit {
            return Err(Problem::TooManyImages { limit });
        }
        let full = |full: Full| Problem::Overloaded {
            retry_after: full.retry_after,
        };
        model.batcher().admit(images, self.lane).map_err(full)
    }

    /// Decodes an image on the pool.
    pub(crate) async fn decode(&self, bytes: Bytes) -> Result<Arc<RgbImage>, Problem> {
        let limits = self.pipeline.limits;
        let decoded = self
            .compute(move || Timings::measure(Phase::Decode, || image::decode(&bytes, &limits)))
            .await?;
        decoded
            .map(Arc::new)
            .map_err(|source| Problem::Image { index: 0, source })
    }

    /// What an image may be.
    pub(crate) const fn limits(&self) -> &ImageLimits {
        &self.pipeline.limits
    }

    /// Runs `work` on the pool, when it has room.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let room = self.pipeline.pool.room(self.lane);
        let room = self.in_time(async { Ok(room.await) }).await?;
        let timings = Timings::current();
        let computed = tokio::task::spawn_blocking(move || {
            let _room = room;
            timings.within(work)
        });
        computed.await.map_err(|error| panicked(&error))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let late = |_| self.late();
        tokio::time::timeout_at(self.deadline.at.into(), work)
            .await
            .map_err(late)?
    }

    const fn late(&self) -> Problem {
        let allowed = self.deadline.allowed;
        match self.deadline.set_by {
            Party::Client => Problem::Expired { allowed },
            Party::Server => Problem::Timeout { allowed },
        }
    }

    /// Decodes one image and queues it.
    async fn enqueue(
        self,
        index: usize,
        bytes: Bytes,
        model: Arc<Model>,
        place: Place,
    ) -> Result<(usize, Answer), Problem> {
        let (limits, deadline) = (self.pipeline.limits, self.deadline);
        let queued = self.compute(move || {
            let preprocess = model.manifest().preprocess;
            let decode = || preprocessed(&bytes, &limits, preprocess);
            let input = Timings::measure(Phase::Decode, decode)?;
            let batcher = model.batcher();
            Ok(batcher.submit(input, Output::Embedding, place, deadline))
        });
        match queued.await? {
            Ok(answer) => Ok((index, answer)),
            Err(source) => Err(Problem::Image { index, source }),
        }
    }

    fn read(&self, answered: Answered) -> Result<Tensor, Problem> {
        answered.map_err(|failure| match failure {
            Failure::Engine => Problem::Engine,
            Failure::Expired => self.late(),
            Failure::Gone => Problem::ShuttingDown,
        })
    }
}

/// Room for work on images. Bulk work may use all of it, but only so much of it waits for room at a time as there is:
/// an image that somebody waits for never has more than that before it.
#[derive(Clone, Debug)]
struct Pool {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// Room for one image's work, free again when this is dropped.
struct Room {
    _all: Option<OwnedSemaphorePermit>,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Pool {
    fn new(threads: usize) -> Self {
        let room = || Arc::new(Semaphore::new(threads));
        Self {
            all: room(),
            bulk: room(),
        }
    }

    /// Waits for room. The semaphores are never closed.
    async fn room(&self, lane: Lane) -> Room {
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

fn panicked(error: &tokio::task::JoinError) -> Problem {
    tracing::error!(%error, "work on an image panicked");
    Problem::Internal
}

/// From an encoded image to the graph's input.
pub(crate) fn preprocessed(
    bytes: &[u8],
    limits: &ImageLimits,
    preprocess: Preprocess,
) -> Result<InputTensor, ImageError> {
    let image = image::decode(bytes, limits)?;
    let side = preprocess.size() as usize;
    let mut pixels = vec![0; preprocess.output_len()];
    with_scratch(|scratch| {
        preprocess
            .apply_into(&image, &mut pixels, scratch)
            .expect("the input is as long as an output");
    });
    Ok(InputTensor {
        height: side,
        width: side,
        pixels,
    })
}

/// Buffers that each thread of the pool keeps.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}
