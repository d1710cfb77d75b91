//! The engine: a model's ONNX Runtime sessions. Whoever owns it runs it; sessions share nothing but the library.

use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_runtime::LoadError;
use ort::environment::Environment;
use ort::ep::CUDA;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

/// ONNX Runtime's name of a session's longest spin, in microseconds.
const SPIN_DURATION: &str = "session.intra_op.spin_duration_us";
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
    /// There is no GPU, or ONNX Runtime cannot use it.
    #[error(
        "CUDA cannot be used: {source}; give --onnxruntime a library for GPUs (libonnxruntime_providers_cuda.so is beside it) \
         and let LD_LIBRARY_PATH name the folders of CUDA and cuDNN, or serve with --device cpu"
    )]
    Cuda {
        /// What ONNX Runtime said.
        source: ort::Error,
    },
    /// The model has no graph of the precision.
    #[error(
        "it has no {precision} graph: make one with `detcon-convert quantize`, or serve it with --precision auto"
    )]
    NoGraph {
        /// What was asked for.
        precision: Precision,
    },
    /// Another model is in the directory's place, so what is opened now would not be of this one.
    #[error("its directory was replaced while it was served")]
    Replaced,
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

/// Where sessions compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// On the processor.
    #[default]
    Cpu,
    /// On the GPU of this number, by ONNX Runtime's CUDA provider.
    Cuda(i32),
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => "0",
            _ => text.strip_prefix("cuda:").unwrap_or_default(),
        };
        let number: Result<u8, _> = number.parse();
        let number = number.map_err(|_| "give cpu, cuda, or cuda:N for the GPU of number N")?;
        Ok(Self::Cuda(number.into()))
    }
}

/// How sessions compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Where.
    pub device: Device,
    /// Threads of a session.
    pub threads: NonZeroUsize,
    /// How long threads without work wait in a loop, which spares a call of the system's and takes the processor from
    /// others.
    pub spinning: Duration,
}

/// A model's sessions.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    directory: ModelDirectory,
    precision: Precision,
    compute: Compute,
    main: Session,
    /// Of the float32 graph that gives what the main one does not; opened when that is first asked for.
    second: Option<Session>,
}

impl Engine {
    /// Starts a session on the graph that embeddings are computed with, in a precision. Features are float32's
    /// whatever that is.
    pub fn open(
        runtime: &Runtime,
        directory: &ModelDirectory,
        precision: Precision,
        compute: Compute,
    ) -> Result<Self, EngineError> {
        let main = main_session(runtime, directory, precision, compute)?;
        Ok(Self {
            runtime: runtime.clone(),
            directory: directory.clone(),
            precision,
            compute,
            main,
            second: None,
        })
    }

    /// Starts its sessions anew, of the same model or not at all.
    pub fn reopen(&mut self) -> Result<(), EngineError> {
        let main = main_session(&self.runtime, &self.directory, self.precision, self.compute)?;
        if !self.directory.is_unchanged() {
            return Err(EngineError::Replaced);
        }
        (self.main, self.second) = (main, None);
        Ok(())
    }

    /// An output for a batch, in C order; its first axis is the batch's.
    pub fn run(&mut self, batch: &Batch, output: Output) -> Result<Tensor, EngineError> {
        let input = TensorRef::from_array_view((batch.shape, batch.images.as_slice()))?;
        let options = output.options()?;
        let session = self.session(output)?;
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

    /// The session that gives an output.
    fn session(&mut self, output: Output) -> Result<&mut Session, EngineError> {
        let stage = match output {
            Output::Embedding => return Ok(&mut self.main),
            Output::Features(stage) => stage,
        };
        // The float32 graph gives c5 at no cost. The stages' graph gives it too.
        if stage == Stage::C5 && self.precision == Precision::Fp32 {
            return Ok(&mut self.main);
        }
        let graph = match stage {
            Stage::C5 => self
                .directory
                .stages_graph()
                .or_else(|| self.directory.graph(Precision::Fp32)),
            Stage::C2 | Stage::C3 | Stage::C4 => self.directory.stages_graph(),
        };
        let graph = graph.ok_or(EngineError::NoStages)?;
        if self.second.is_none() {
            let second = session(&self.runtime, &graph, self.compute)?;
            // Asked after it was opened: what was read before is of this model or of none.
            if !self.directory.is_unchanged() {
                return Err(EngineError::Replaced);
            }
            self.second = Some(second);
        }
        self.second.as_mut().ok_or(EngineError::NoStages)
    }
}

fn main_session(
    runtime: &Runtime,
    directory: &ModelDirectory,
    precision: Precision,
    compute: Compute,
) -> Result<Session, EngineError> {
    let graph = directory.graph(precision);
    let graph = graph.ok_or(EngineError::NoGraph { precision })?;
    session(runtime, &graph, compute)
}

fn session(runtime: &Runtime, graph: &Path, compute: Compute) -> Result<Session, EngineError> {
    let mut builder = Session::builder(&runtime.environment)?;
    if let Device::Cuda(number) = compute.device {
        // TensorFloat-32 would keep 10 bits of a product's 23: not what the self-check holds a model to.
        let provider = CUDA::default().with_device_id(number).with_tf32(false);
        let provider = provider.build().error_on_failure();
        builder = builder
            .with_execution_providers([provider])
            .map_err(|error| EngineError::Cuda {
                source: error.into(),
            })?;
    }
    Ok(builder
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(ort::Error::from)?
        .with_intra_threads(compute.threads.get())
        .map_err(ort::Error::from)?
        .with_intra_op_spinning(!compute.spinning.is_zero())
        .map_err(ort::Error::from)?
        .with_config_entry(SPIN_DURATION, compute.spinning.as_micros().to_string())
        .map_err(ort::Error::from)?
        .commit_from_file(graph)?)
}
