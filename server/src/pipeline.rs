//! From encoded images to embeddings: admission, decoding and preprocessing on a bounded pool, the engine's queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::{self, ImageError, ImageLimits, RgbImage};
use detcon_core::preprocess::{Preprocess, Scratch};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::batch::{Answer, EngineFailed, Full, InputTensor, Place, Places};
use crate::engine::Output;
use crate::observe::{Phase, Timings};
use crate::problem::Problem;
use crate::registry::Model;

/// Decodes, preprocesses and embeds.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    decoders: Arc<Semaphore>,
    limits: ImageLimits,
    timeout: Duration,
}

impl Pipeline {
    /// At most `threads` images are decoded at the same time, of all requests together.
    #[must_use]
    pub(crate) fn new(threads: usize, limits: ImageLimits, timeout: Duration) -> Self {
        Self {
            decoders: Arc::new(Semaphore::new(threads)),
            limits,
            timeout,
        }
    }

    /// The embeddings of a request's images, in order. All are taken or none; one that cannot be decoded refuses
    /// the request, and the others are taken out of the queue again.
    pub(crate) async fn embed(
        &self,
        model: &Arc<Model>,
        images: Vec<Bytes>,
    ) -> Result<Vec<Tensor>, Problem> {
        let places = admit(model, images.len())?;
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
                embeddings.push(received(answer).await?);
            }
            Ok(embeddings)
        };
        self.in_time(work).await
    }

    /// An output for one image that is preprocessed already.
    pub(crate) async fn features(
        &self,
        model: &Arc<Model>,
        input: InputTensor,
        stage: Stage,
    ) -> Result<Tensor, Problem> {
        let place = admit(model, 1)?.into_one();
        let output = Output::Features(stage);
        let answer = model.batcher().submit(input, output, place);
        self.in_time(received(answer)).await
    }

    /// Decodes an image on the pool.
    pub(crate) async fn decode(&self, bytes: Bytes) -> Result<Arc<RgbImage>, Problem> {
        let limits = self.limits;
        let decoded = self
            .compute(move || Timings::measure(Phase::Decode, || image::decode(&bytes, &limits)))
            .await?;
        decoded
            .map(Arc::new)
            .map_err(|source| Problem::Image { index: 0, source })
    }

    /// What an image may be.
    pub(crate) const fn limits(&self) -> &ImageLimits {
        &self.limits
    }

    /// Runs `work` on the pool, when it has room.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let wait = Arc::clone(&self.decoders).acquire_owned();
        let permit = self
            .in_time(async { wait.await.map_err(|_| Problem::ShuttingDown) })
            .await?;
        let timings = Timings::current();
        let computed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            timings.within(work)
        });
        computed.await.map_err(|error| panicked(&error))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let late = |_| Problem::Timeout {
            seconds: self.timeout.as_secs(),
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .map_err(late)?
    }

    /// Decodes one image and queues it.
    async fn enqueue(
        self,
        index: usize,
        bytes: Bytes,
        model: Arc<Model>,
        place: Place,
    ) -> Result<(usize, Answer), Problem> {
        let limits = self.limits;
        let queued = self.compute(move || {
            let preprocess = model.manifest().preprocess;
            let decode = || preprocessed(&bytes, &limits, preprocess);
            let input = Timings::measure(Phase::Decode, decode)?;
            Ok(model.batcher().submit(input, Output::Embedding, place))
        });
        match queued.await? {
            Ok(answer) => Ok((index, answer)),
            Err(source) => Err(Problem::Image { index, source }),
        }
    }
}

/// Takes places for all of a request's images, or none. Each is free again when its image is done.
fn admit(model: &Model, images: usize) -> Result<Places, Problem> {
    let limit = model.batcher().capacity();
    if images > limit {
        return Err(Problem::TooManyImages { limit });
    }
    let full = |full: Full| Problem::Overloaded {
        retry_after: full.retry_after,
    };
    model.batcher().admit(images).map_err(full)
}

/// Waits for an image's answer.
async fn received(answer: Answer) -> Result<Tensor, Problem> {
    match answer.await {
        Ok(Ok(tensor)) => Ok(tensor),
        Ok(Err(EngineFailed)) => Err(Problem::Engine),
        Err(_gone) => Err(Problem::ShuttingDown),
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
