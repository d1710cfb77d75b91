//! The engine: one ONNX Runtime session. Whoever owns it runs it; sessions share nothing but the library.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

/// The graph's input: uint8 RGB `[N, H, W, 3]`.
const INPUT: &str = "images";

/// An output of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The spatial mean of the last stage, `[N, D]`.
    Embedding,
    /// The last stage, `[N, C, h, w]`.
    C5,
}

impl Output {
    /// Its name in the graph.
    const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::C5 => "c5",
        }
    }

    /// Options that compute it alone.
    fn options(self) -> Result<RunOptions<HasSelectedOutputs>, ort::Error> {
        Ok(RunOptions::new()?.with_outputs(OutputSelector::no_default().with(self.name())))
    }
}

/// Why an engine could not be started or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ONNX Runtime's shared library could not be loaded.
    #[error(
        "ONNX Runtime could not be loaded from {}: {source}. `make serve` fetches it; elsewhere name it with \
         --onnxruntime", path.display()
    )]
    Library {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// ONNX Runtime said no.
    #[error("ONNX Runtime: {source}")]
    Runtime {
        /// What it said.
        #[from]
        source: ort::Error,
    },
    /// The graph's output is not one embedding an image.
    #[error("the graph gave {found:?} for {images} images")]
    Output {
        /// Shape of the output.
        found: Vec<i64>,
        /// Images in the batch.
        images: usize,
    },
}

/// ONNX Runtime, loaded once a process.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads the shared library at `path`.
    pub fn load(path: &Path) -> Result<Self, EngineError> {
        let library = |source| EngineError::Library {
            path: path.to_owned(),
            source,
        };
        let builder = ort::init_from(path).map_err(|error| library(Box::new(error)))?;
        let environment = builder
            .with_name("detcon")
            .build()
            .map_err(|error| library(Box::new(error)))?;
        Ok(Self { environment })
    }

    /// What sessions of one's own are opened in.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A batch of images of one size.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, H, W, 3]`.
    pub shape: [usize; 4],
    /// uint8 RGB.
    pub images: Vec<u8>,
}

/// A session and how it is run.
pub struct Engine {
    session: Session,
    embedding: RunOptions<HasSelectedOutputs>,
    c5: RunOptions<HasSelectedOutputs>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts a session on the graph at `path` that computes with `threads` threads.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        threads: NonZeroUsize,
    ) -> Result<Self, EngineError> {
        let session = Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(ort::Error::from)?
            .with_intra_threads(threads.get())
            .map_err(ort::Error::from)?
            .commit_from_file(path)?;
        let (embedding, c5) = (Output::Embedding.options()?, Output::C5.options()?);
        Ok(Self {
            session,
            embedding,
            c5,
        })
    }

    /// An output for a batch, in C order.
    pub fn run(&mut self, batch: &Batch, output: Output) -> Result<Vec<f32>, EngineError> {
        let input = TensorRef::from_array_view((batch.shape, batch.images.as_slice()))?;
        let options = match output {
            Output::Embedding => &self.embedding,
            Output::C5 => &self.c5,
        };
        let outputs = self
            .session
            .run_with_options(ort::inputs![INPUT => input], options)?;
        let (shape, values) = outputs[output.name()].try_extract_tensor::<f32>()?;
        if shape.first().and_then(|&n| usize::try_from(n).ok()) != Some(batch.shape[0]) {
            return Err(EngineError::Output {
                found: shape.to_vec(),
                images: batch.shape[0],
            });
        }
        Ok(values.to_vec())
    }
}
