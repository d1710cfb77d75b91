//! What the server is held against: ONNX Runtime on the model's graph with nothing around it.
//!
//! The session is its own, with ONNX Runtime's defaults and full optimisation, so that nothing the server does can
//! slow what it is held against.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use detcon_inference::{INPUT, InferenceError, Runtime};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

/// ONNX Runtime and nothing around it.
#[derive(Debug)]
pub struct Bare {
    session: Session,
    side: usize,
}

impl Bare {
    /// A session on a graph whose images have `side` rows and columns, which computes with `threads` threads.
    pub fn open(
        runtime: &Runtime,
        graph: &Path,
        side: usize,
        threads: NonZeroUsize,
    ) -> Result<Self, InferenceError> {
        let session = Session::builder(runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(ort::Error::from)?
            .with_intra_threads(threads.get())
            .map_err(ort::Error::from)?
            .commit_from_file(graph)?;
        Ok(Self { session, side })
    }

    /// How long each run of `batch` grey images takes, one after the other for `span`.
    pub fn runs(&mut self, batch: usize, span: Duration) -> Result<Vec<Duration>, InferenceError> {
        let shape = [batch, self.side, self.side, 3];
        let images = vec![127_u8; shape.iter().product()];
        let (start, mut runs) = (Instant::now(), Vec::new());
        while start.elapsed() < span {
            let run = Instant::now();
            let input = TensorRef::from_array_view((shape, images.as_slice()))?;
            self.session.run(ort::inputs![INPUT => input])?;
            runs.push(run.elapsed());
        }
        Ok(runs)
    }
}
