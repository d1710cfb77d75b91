//! The engine: one ONNX Runtime session. Whoever owns it runs it; sessions share nothing but the library.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_runtime::LoadError;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

/// The graph's input: uint8 RGB `[N, H, W, 3]`.
pub(crate) const INPUT: &str = "images";

/// An output of a model's graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The spatial mean of the last stage, `[N, D]`.
    Embedding,
    /// A stage's features, `[N, C, h, w]`.
    Features(Stage),
}

impl Output {
    /// Its name in the graph.
    const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Features(stage) => stage.name(),
        }
    }

    /// Whether the graph that embeddings come from gives it; the others cost it nothing.
    const fn is_in_main_graph(self) -> bool {
        match self {
            Self::Embedding | Self::Features(Stage::C5) => true,
            Self::Features(Stage::C2 | Stage::C3 | Stage::C4) => false,
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
    #[error(transparent)]
    Library(#[from] LoadError),
    /// ONNX Runtime said no.
    #[error("ONNX Runtime: {source}")]
    Runtime {
        /// What it said.
        #[from]
        source: ort::Error,
    },
    /// A stage was asked for of a model without a graph for it.
    #[error("the model has no graph of its stages: convert the checkpoint again")]
    NoStages,
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
    /// Loads the shared library at `path`. A process loads one: later calls get the first.
    pub fn load(path: &Path) -> Result<Self, EngineError> {
        Ok(Self {
            environment: detcon_runtime::load(path)?,
        })
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

/// Where a model's graphs are.
#[derive(Clone, Debug)]
pub struct Graphs {
    /// Gives `embedding` and `c5`.
    pub main: PathBuf,
    /// Gives every stage, if the model has it.
    pub stages: Option<PathBuf>,
}

/// A model's sessions.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    graphs: Graphs,
    threads: NonZeroUsize,
    main: Session,
    /// Opened when a stage is first asked for.
    stages: Option<Session>,
}

impl Engine {
    /// Starts a session on the main graph that computes with `threads` threads.
    pub fn open(
        runtime: &Runtime,
        graphs: Graphs,
        threads: NonZeroUsize,
    ) -> Result<Self, EngineError> {
        let main = session(runtime, &graphs.main, threads)?;
        Ok(Self {
            runtime: runtime.clone(),
            graphs,
            threads,
            main,
            stages: None,
        })
    }

    /// An output for a batch, in C order; its first axis is the batch's.
    pub fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError> {
        let input = TensorRef::from_array_view((batch.shape, batch.images.as_slice()))?;
        let options = output.options()?;
        let session = if output.is_in_main_graph() {
            &mut self.main
        } else {
            self.stages()?
        };
        let outputs = session.run_with_options(ort::inputs![INPUT => input], &options)?;
        let (shape, values) = outputs[output.name()].try_extract_tensor::<f32>()?;
        let lengths = shape
            .iter()
            .map(|&n| usize::try_from(n))
            .collect::<Result<Vec<_>, _>>();
        match lengths {
            Ok(lengths) if lengths.first() == Some(&batch.shape[0]) => {
                Ok(Tensor::new(lengths, values.to_vec()))
            }
            _ => Err(EngineError::Output {
                found: shape.to_vec(),
                images: batch.shape[0],
            }),
        }
    }

    fn stages(&mut self) -> Result<&mut Session, EngineError> {
        if self.stages.is_none() {
            let graph = self.graphs.stages.as_ref().ok_or(EngineError::NoStages)?;
            self.stages = Some(session(&self.runtime, graph, self.threads)?);
        }
        self.stages.as_mut().ok_or(EngineError::NoStages)
    }
}

fn session(runtime: &Runtime, graph: &Path, threads: NonZeroUsize) -> Result<Session, EngineError> {
    Ok(Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(ort::Error::from)?
        .with_intra_threads(threads.get())
        .map_err(ort::Error::from)?
        .commit_from_file(graph)?)
}
