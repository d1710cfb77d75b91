//! The one place that opens ONNX Runtime's sessions.

use std::path::Path;
use std::sync::Arc;

use ort::ep::CUDA;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::compute::{Compute, Device};
use crate::error::InferenceError;
use crate::held::HeldFile;
use crate::library::Runtime;

/// ONNX Runtime's name of a session's longest spin, in microseconds.
const SPIN_DURATION: &str = "session.intra_op.spin_duration_us";

/// The files of a graph, held open.
#[derive(Clone, Debug)]
pub(crate) struct GraphFiles {
    /// The graph.
    pub(crate) graph: Arc<HeldFile>,
    /// The file that its weights are in, where they are in none of its own.
    pub(crate) weights: Option<Arc<HeldFile>>,
}

/// A session on the graph in a file, whose weights may be in one beside it.
pub(crate) fn from_file(
    runtime: &Runtime,
    graph: &Path,
    compute: Compute,
) -> Result<Session, InferenceError> {
    Ok(builder(runtime, compute)?.commit_from_file(graph)?)
}

/// A session on a graph whose files are held open. It takes the memory of the weights' file for as long as it lives.
pub(crate) fn from_held(
    runtime: &Runtime,
    files: &GraphFiles,
    compute: Compute,
) -> Result<Session, InferenceError> {
    let mut builder = builder(runtime, compute)?;
    if let Some(weights) = &files.weights {
        let bytes = Arc::from(weights.read()?);
        builder = builder
            .with_external_initializer_file_in_memory(weights.name(), bytes)
            .map_err(ort::Error::from)?;
    }
    Ok(builder.commit_from_memory(&files.graph.read()?)?)
}

/// A session on the bytes of a graph, with ONNX Runtime's own settings.
pub(crate) fn from_bytes(runtime: &Runtime, graph: &[u8]) -> Result<Session, InferenceError> {
    Ok(Session::builder(runtime.environment())?.commit_from_memory(graph)?)
}

fn builder(runtime: &Runtime, compute: Compute) -> Result<SessionBuilder, InferenceError> {
    let mut builder = Session::builder(runtime.environment())?;
    if let Device::Cuda(number) = compute.device {
        // TensorFloat-32 would keep 10 bits of a product's 23: not what the self-check holds a model to.
        let provider = CUDA::default().with_device_id(number).with_tf32(false);
        let provider = provider.build().error_on_failure();
        builder = builder
            .with_execution_providers([provider])
            .map_err(|error| InferenceError::Cuda {
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
        .map_err(ort::Error::from)?)
}
