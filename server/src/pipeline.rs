//! From encoded images to embeddings: admission, decoding and preprocessing on a bounded pool, the engine's queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use detcon_core::image::{self, ImageError, ImageLimits};
use detcon_core::preprocess::{Preprocess, Scratch};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::batch::{EngineFailed, Place, Places};
use crate::problem::Problem;
use crate::registry::Model;

/// Decodes, preprocesses and embeds.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    decoders: Arc<Semaphore>,
    limits: ImageLimits,
    timeout: Duration,
}

type Answer = oneshot::Receiver<Result<Vec<f32>, EngineFailed>>;

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
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let capacity = model.batcher().capacity();
        if images.len() > capacity {
            return Err(Problem::TooManyImages { limit: capacity });
        }
        let places = model
            .batcher()
            .admit(images.len())
            .map_err(|full| Problem::Overloaded {
                retry_after: full.retry_after,
            })?;
        let work = self.run(model, images, places);
        let late = |_| Problem::Timeout {
            seconds: self.timeout.as_secs(),
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .map_err(late)?
    }

    async fn run(
        &self,
        model: &Arc<Model>,
        images: Vec<Bytes>,
        places: Places,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let mut decoding = JoinSet::new();
        let mut answers: Vec<Option<Answer>> = images.iter().map(|_| None).collect();
        for (index, (bytes, place)) in images.into_iter().zip(places).enumerate() {
            let image = self.clone().enqueue(index, bytes, Arc::clone(model), place);
            decoding.spawn(image);
        }
        while let Some(done) = decoding.join_next().await {
            let (index, answer) = done.map_err(|error| {
                tracing::error!(%error, "decoding panicked");
                Problem::Internal
            })??;
            answers[index] = Some(answer);
        }
        let mut embeddings = Vec::with_capacity(answers.len());
        for answer in answers.into_iter().flatten() {
            match answer.await {
                Ok(Ok(embedding)) => embeddings.push(embedding),
                Ok(Err(EngineFailed)) => return Err(Problem::Engine),
                Err(_gone) => return Err(Problem::ShuttingDown),
            }
        }
        Ok(embeddings)
    }

    /// Decodes one image and queues it.
    async fn enqueue(
        self,
        index: usize,
        bytes: Bytes,
        model: Arc<Model>,
        place: Place,
    ) -> Result<(usize, Answer), Problem> {
        let permit = self
            .decoders
            .acquire_owned()
            .await
            .map_err(|_| Problem::ShuttingDown)?;
        let limits = self.limits;
        let decoded = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let input = decode(&bytes, &limits, model.manifest().preprocess)?;
            Ok(model.batcher().submit(input, place))
        });
        match decoded.await {
            Ok(Ok(answer)) => Ok((index, answer)),
            Ok(Err(source)) => Err(Problem::Image { index, source }),
            Err(error) => {
                tracing::error!(%error, "decoding panicked");
                Err(Problem::Internal)
            }
        }
    }
}

/// From an encoded image to the graph's input.
fn decode(
    bytes: &[u8],
    limits: &ImageLimits,
    preprocess: Preprocess,
) -> Result<Vec<u8>, ImageError> {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
    }
    let image = image::decode(bytes, limits)?;
    let mut input = vec![0; preprocess.output_len()];
    SCRATCH.with_borrow_mut(|scratch| {
        preprocess
            .apply_into(&image, &mut input, scratch)
            .expect("the input is as long as an output");
    });
    Ok(input)
}
