//! Several outputs for several images, some of which may be preprocessed already.

use std::sync::Arc;

use bytes::Bytes;
use detcon_core::checkpoint::Tensor;
use tokio::task::JoinSet;

use super::{Work, panicked, preprocessed};
use crate::batch::{Answer, InputTensor, Place};
use crate::engine::Output;
use crate::observe::{Phase, Timings};
use crate::problem::Problem;
use crate::registry::Model;

/// An image of a request.
#[derive(Debug)]
pub(crate) enum Inputs {
    /// A file, to be decoded and preprocessed.
    Encoded(Bytes),
    /// The network's input.
    Ready(InputTensor),
}

impl Work {
    /// Each of `outputs` for each of `images`, in their orders: all are taken or none.
    pub(crate) async fn run(
        &self,
        model: &Arc<Model>,
        images: Vec<Inputs>,
        outputs: &[Output],
    ) -> Result<Vec<Vec<Tensor>>, Problem> {
        let mut places = self.admit(model, images.len().saturating_mul(outputs.len()))?;
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

    /// Prepares one image and queues it for every output.
    async fn queue(
        self,
        index: usize,
        image: Inputs,
        model: Arc<Model>,
        wanted: Vec<(Output, Place)>,
    ) -> Result<(usize, Vec<Answer>), Problem> {
        let input = match image {
            Inputs::Ready(input) => input,
            Inputs::Encoded(bytes) => {
                let (limits, preprocess) = (self.pipeline.limits, model.manifest().preprocess);
                let decode = move || preprocessed(&bytes, &limits, preprocess);
                let decoded = self
                    .compute(|| Timings::measure(Phase::Decode, decode))
                    .await?;
                decoded.map_err(|source| Problem::Image { index, source })?
            }
        };
        let submit = |(output, place)| {
            let batcher = model.batcher();
            batcher.submit(input.clone(), output, place, self.deadline)
        };
        Ok((index, wanted.into_iter().map(submit).collect()))
    }
}
