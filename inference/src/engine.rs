//! The engine: a model's sessions, all of them open. Whoever owns it runs it.

use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::model::{ModelDirectory, ModelError, Precision, file};
use ort::session::Session;
use ort::value::TensorRef;

use crate::batch::Batch;
use crate::compute::Compute;
use crate::error::{InferenceError, OpenError};
use crate::held::HeldFile;
use crate::library::Runtime;
use crate::network::Dense;
use crate::output::{INPUT, Output};
use crate::session::{self, GraphFiles};

/// A model's sessions.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    compute: Compute,
    precision: Precision,
    main: Held,
    /// Of a float32 graph that gives what the main one does not, if one is open.
    dense: Option<Held>,
}

/// A session, with the files that it was opened from.
#[derive(Debug)]
struct Held {
    session: Session,
    files: GraphFiles,
}

impl Engine {
    /// Starts a session on the graph that embeddings are computed with, in a precision, and one on the graph of the
    /// dense features, which are float32's whatever that is. Says which of them it gives.
    pub(crate) fn open(
        runtime: &Runtime,
        directory: &ModelDirectory,
        precision: Precision,
        compute: Compute,
        wanted: Dense,
    ) -> Result<(Self, Dense), OpenError> {
        let open = |files: GraphFiles| {
            let path = directory.path().join(files.graph.name());
            let session = session::from_file(runtime, &path, compute)?;
            Ok::<_, OpenError>(Held { session, files })
        };
        if directory.graph(precision).is_none() {
            return Err(InferenceError::NoGraph { precision }.into());
        }
        let main = open(files(directory, precision.graph_file(), None)?)?;
        let (dense, given) = dense_files(directory, precision, wanted)?;
        let engine = Self {
            runtime: runtime.clone(),
            compute,
            precision,
            main,
            dense: dense.map(open).transpose()?,
        };
        Ok((engine, given))
    }

    /// Starts its sessions anew, on the files that they were opened from: whatever has the directory's place.
    pub fn reopen(&mut self) -> Result<(), InferenceError> {
        for held in std::iter::once(&mut self.main).chain(&mut self.dense) {
            held.session = session::from_held(&self.runtime, &held.files, self.compute)?;
        }
        Ok(())
    }

    /// An output for each image of a batch, in their order: `[D]` or `[C, h, w]`.
    pub fn run(&mut self, batch: &Batch, output: Output) -> Result<Vec<Tensor>, InferenceError> {
        let input = TensorRef::from_array_view((batch.shape, batch.images.as_slice()))?;
        let options = output.options()?;
        let session = self.session(output)?;
        let outputs = session.run_with_options(ort::inputs![INPUT => input], &options)?;
        let (shape, values) = outputs[output.name()].try_extract_tensor::<f32>()?;
        let images = batch.shape[0];
        let lengths: Result<Vec<_>, _> = shape.iter().map(|&n| usize::try_from(n)).collect();
        match lengths.as_deref() {
            Ok([rows, row @ ..]) if *rows == images && !values.is_empty() => {
                let length = row.iter().product();
                let rows = values.chunks_exact(length);
                Ok(rows
                    .map(|values| Tensor::new(row.to_vec(), values.to_vec()))
                    .collect())
            }
            _ => Err(InferenceError::Output {
                found: shape.to_vec(),
                images,
            }),
        }
    }

    /// The session that gives an output.
    fn session(&mut self, output: Output) -> Result<&mut Session, InferenceError> {
        let main = match output {
            Output::Embedding => true,
            // The float32 graph gives c5 at no cost.
            Output::Features(Stage::C5) => self.precision == Precision::Fp32,
            Output::Features(Stage::C2 | Stage::C3 | Stage::C4) => false,
        };
        let held = if main {
            Some(&mut self.main)
        } else {
            self.dense.as_mut()
        };
        let held = held.ok_or(InferenceError::NotOpen {
            output: output.name(),
        })?;
        Ok(&mut held.session)
    }
}

/// The graph of the dense features that are wanted, where the one of the embeddings does not give them, and which of
/// them the two give.
fn dense_files(
    directory: &ModelDirectory,
    precision: Precision,
    wanted: Dense,
) -> Result<(Option<GraphFiles>, Dense), ModelError> {
    let main_gives_c5 = precision == Precision::Fp32;
    let has_fp32 = directory.graph(Precision::Fp32).is_some();
    match wanted {
        Dense::All if directory.stages_graph().is_some() => {
            let stages = files(directory, file::STAGES_ONNX, Some(file::ONNX))?;
            Ok((Some(stages), Dense::All))
        }
        Dense::All | Dense::C5 | Dense::Main if main_gives_c5 => Ok((None, Dense::C5)),
        Dense::All | Dense::C5 if has_fp32 => {
            let whole = files(directory, file::ONNX, None)?;
            Ok((Some(whole), Dense::C5))
        }
        Dense::All | Dense::C5 | Dense::Main => Ok((None, Dense::Main)),
    }
}

/// The files of a graph, held open.
fn files(
    directory: &ModelDirectory,
    graph: &str,
    weights: Option<&str>,
) -> Result<GraphFiles, ModelError> {
    let held = |name: &str| HeldFile::open(directory, name).map(Arc::new);
    Ok(GraphFiles {
        graph: held(graph)?,
        weights: weights.map(held).transpose()?,
    })
}
