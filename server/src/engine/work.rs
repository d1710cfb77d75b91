//! The work on one request: places in the queue, decoding and preprocessing on the pool, the engine's answers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::{self, ImageError, ImageLimits, RgbImage};
use detcon_core::preprocess::Preprocess;
use detcon_inference::{InputTensor, Output, prepared};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use super::batcher::Batcher;
use super::cost::{CostLimits, Excess, Need};
use super::job::{Answered, Failure, Full, Place, Places};
use super::memory::Share;
use super::pool::Pool;
use super::queue::Answer;
use super::urgency::{Deadline, Lane, Urgency};
use crate::observe::{Phase, Timings};

/// Longest answer that is written where it is asked for, in bytes: it takes less than handing it to another thread.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// Why a request's work has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkError {
    /// An image that cannot be used.
    Image {
        /// Which image of the request, from 0.
        index: usize,
        /// What is wrong with it.
        source: ImageError,
    },
    /// More images than are ever admitted at once.
    TooManyImages {
        /// Most images.
        limit: usize,
    },
    /// All places in the queue are taken.
    Full {
        /// When there should be room.
        retry_after: Duration,
    },
    /// No answer in the time that this party gave.
    Late(Deadline),
    /// The engine failed; the log says why.
    Engine,
    /// The engine's thread has ended.
    Gone,
    /// It costs more than it may.
    Excess(Excess),
    /// Work panicked; the log says so.
    Panicked,
}

impl From<Excess> for WorkError {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

/// A model as work sees it: the queue in front of its engine, and how its images are preprocessed.
pub(crate) trait Queued: Send + Sync + 'static {
    /// The queue.
    fn batcher(&self) -> &Batcher;

    /// From an image to the network's input.
    fn preprocess(&self) -> Preprocess;
}

/// An image of a request.
#[derive(Debug)]
pub(crate) enum Image {
    /// A file, to be decoded and preprocessed.
    Encoded(Bytes),
    /// The network's input.
    Ready(InputTensor),
}

/// Memory for work that was found to be within the limits. Nothing is given to an engine without.
#[derive(Debug)]
pub(crate) struct Afforded(Share);

impl Afforded {
    /// The memory, for as long as the answer is there.
    pub(crate) fn into_share(self) -> Share {
        self.0
    }
}

/// What all requests share: the pool, and what an image and the work on it may be.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pool: Pool,
    limits: ImageLimits,
    costs: CostLimits,
    timeout: Duration,
}

impl Pipeline {
    /// At most `threads` images are decoded at the same time, of all requests together; no request is worked on for
    /// longer than `timeout`.
    #[must_use]
    pub(crate) fn new(
        threads: usize,
        limits: ImageLimits,
        costs: CostLimits,
        timeout: Duration,
    ) -> Self {
        Self {
            pool: Pool::new(threads),
            limits,
            costs,
            timeout,
        }
    }

    /// Begins to work on a request that has arrived as a whole.
    pub(crate) fn begin(&self, urgency: Urgency) -> Work {
        Work {
            pipeline: self.clone(),
            deadline: urgency.deadline(self.timeout),
            lane: urgency.lane,
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
    /// Each of `outputs` for each of `images`, in their orders. All images are taken or none; one that cannot be
    /// decoded refuses the request, and the others are taken out of the queue again.
    pub(crate) async fn run<M: Queued>(
        &self,
        model: &Arc<M>,
        images: Vec<Image>,
        outputs: &[Output],
        _afforded: &Afforded,
    ) -> Result<Vec<Vec<Tensor>>, WorkError> {
        let mut places = self.admit(&**model, images.len().saturating_mul(outputs.len()))?;
        let work = async {
            let mut preparing = JoinSet::new();
            let mut answers: Vec<Vec<Answer>> = images.iter().map(|_| Vec::new()).collect();
            for (index, image) in images.into_iter().enumerate() {
                let wanted: Vec<_> = outputs.iter().copied().zip(places.by_ref()).collect();
                let queued = self.clone().queue(index, image, Arc::clone(model), wanted);
                preparing.spawn(Timings::current().scope(queued));
            }
            while let Some(done) = preparing.join_next().await {
                let (index, queued) = done.map_err(|error| panicked(&error))??;
                answers[index] = queued;
            }
            let mut found: Vec<Vec<Tensor>> = outputs.iter().map(|_| Vec::new()).collect();
            for image in answers {
                for (output, answer) in found.iter_mut().zip(image) {
                    output.push(self.read(answer.received().await)?);
                }
            }
            Ok(found)
        };
        self.in_time(work).await
    }

    /// A stage's features of one image that is preprocessed already and has its place.
    pub(crate) async fn features(
        &self,
        model: &impl Queued,
        place: Place,
        (input, stage): (InputTensor, Stage),
        _afforded: &Afforded,
    ) -> Result<Tensor, WorkError> {
        let output = Output::Features(stage);
        let answer = model.batcher().submit(input, output, place, self.deadline);
        self.in_time(async { self.read(answer.received().await) })
            .await
    }

    /// Takes a place for the only image of a request, before any work is done for it.
    pub(crate) fn place(&self, model: &impl Queued) -> Result<Place, WorkError> {
        // Where there are places for one image, there is one.
        self.admit(model, 1)?.next().ok_or(WorkError::Gone)
    }

    /// Takes places for all of a request's images, or none. Each is free again when its image is done.
    fn admit(&self, model: &impl Queued, images: usize) -> Result<Places, WorkError> {
        let batcher = model.batcher();
        Timings::current().of(batcher.stats());
        if self.deadline.is_past() {
            return Err(WorkError::Late(self.deadline));
        }
        let limit = batcher.capacity(self.lane);
        if images > limit {
            return Err(WorkError::TooManyImages { limit });
        }
        let full = |Full { retry_after }| WorkError::Full { retry_after };
        batcher.admit(images, self.lane).map_err(full)
    }

    /// Memory for what is needed, if that is within the limits.
    pub(crate) fn afford(&self, need: Need) -> Result<Afforded, WorkError> {
        Ok(Afforded(self.pipeline.costs.afford(need)?))
    }

    /// Decodes the only image of a request on the pool, if what is needed for one of its height and width, which its
    /// header tells, can be afforded.
    pub(crate) async fn decode(
        &self,
        bytes: Bytes,
        need: impl FnOnce([u32; 2]) -> Need + Send + 'static,
    ) -> Result<(Arc<RgbImage>, Afforded), WorkError> {
        let limits = self.pipeline.limits;
        let unusable = |source| WorkError::Image { index: 0, source };
        let work = self.clone();
        let decode = move || {
            let size = image::stored_size(&bytes, &limits).map_err(unusable)?;
            let afforded = work.afford(need(size))?;
            let _room = work.room_to_decode(&bytes, size)?;
            let decoded = Timings::measure(Phase::Decode, || image::decode(&bytes, &limits));
            Ok((Arc::new(decoded.map_err(unusable)?), afforded))
        };
        self.compute(decode).await?
    }

    /// Memory for decoding a file of this height and width. Blocks a thread of the pool until there is room: whoever has
    /// it decodes and waits for nothing.
    fn room_to_decode(&self, file: &[u8], size: [u32; 2]) -> Result<Share, WorkError> {
        let (bytes, costs) = (image::decoding_memory(file, size), &self.pipeline.costs);
        if let Some(share) = costs.decoding_now(bytes) {
            return Ok(share);
        }
        let share = self.in_time(async { Ok(costs.decoding(bytes).await?) });
        Handle::current().block_on(share)
    }

    /// Runs a method of segmentation on the pool, once there are so many bytes for what it takes meanwhile.
    pub(crate) async fn segment<T: Send + 'static>(
        &self,
        bytes: u64,
        method: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let share = async { Ok(self.pipeline.costs.segmentation(bytes).await?) };
        let share = self.in_time(share).await?;
        let segment = move || {
            let segmented = method();
            drop(share);
            segmented
        };
        self.compute(segment).await
    }

    /// Writes an answer of so many bytes: a long one on the pool, others at once.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        if bytes <= WRITTEN_AT_ONCE {
            return Ok(write());
        }
        self.compute(write).await
    }

    /// What an image may be.
    pub(crate) const fn limits(&self) -> &ImageLimits {
        &self.pipeline.limits
    }

    /// Runs `work` on the pool, when it has room.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let room = self.pipeline.pool.room(self.lane);
        let room = self.in_time(async { Ok(room.await) }).await?;
        let timings = Timings::current();
        let deadline = self.deadline;
        let computed = tokio::task::spawn_blocking(move || {
            let _room = room;
            // Time may have passed before there was a thread.
            (!deadline.is_past()).then(|| timings.within(work))
        });
        let computed = computed.await.map_err(|error| panicked(&error))?;
        computed.ok_or(WorkError::Late(deadline))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, WorkError>>,
    ) -> Result<T, WorkError> {
        let late = |_| WorkError::Late(self.deadline);
        tokio::time::timeout_at(self.deadline.at.into(), work)
            .await
            .map_err(late)?
    }

    /// Prepares one image and queues it for every output.
    async fn queue<M: Queued>(
        self,
        index: usize,
        image: Image,
        model: Arc<M>,
        wanted: Vec<(Output, Place)>,
    ) -> Result<(usize, Vec<Answer>), WorkError> {
        let (limits, deadline) = (self.pipeline.limits, self.deadline);
        let submit = move |model: &M, input: InputTensor| {
            let inputs = std::iter::repeat_n(input, wanted.len()); // the last is given, not copied
            let queued = inputs.zip(wanted).map(|(input, (output, place))| {
                let batcher = model.batcher();
                batcher.submit(input, output, place, deadline)
            });
            (index, queued.collect())
        };
        let bytes = match image {
            Image::Ready(input) => return Ok(submit(&model, input)),
            Image::Encoded(bytes) => bytes,
        };
        let unusable = move |source| WorkError::Image { index, source };
        let work = self.clone();
        let queued = self.compute(move || {
            let size = image::stored_size(&bytes, &limits).map_err(unusable)?;
            let _room = work.room_to_decode(&bytes, size)?;
            let decode = || prepared(&bytes, &limits, model.preprocess());
            let input = Timings::measure(Phase::Decode, decode).map_err(unusable)?;
            Ok(submit(&model, input))
        });
        queued.await?
    }

    fn read(&self, answered: Answered) -> Result<Tensor, WorkError> {
        answered.map_err(|failure| match failure {
            Failure::Engine => WorkError::Engine,
            Failure::Expired => WorkError::Late(self.deadline),
            Failure::Gone => WorkError::Gone,
        })
    }
}

fn panicked(error: &JoinError) -> WorkError {
    tracing::error!(%error, "work on an image panicked");
    WorkError::Panicked
}
