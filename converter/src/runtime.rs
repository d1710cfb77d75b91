//! ONNX Runtime, loaded only when a command asks for it: nothing else in the converter needs the library.

use std::path::Path;

use detcon_runtime::LoadError;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

/// Why a graph could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The library could not be loaded.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// ONNX Runtime refuses the graph or fails at it.
    #[error("ONNX Runtime cannot run the graph: {source}")]
    Engine {
        /// What it said.
        #[from]
        source: ort::Error,
    },
    /// The graph has no such output, or not of float32.
    #[error("the graph gives no float32 {name:?}")]
    Output {
        /// The output.
        name: String,
    },
}

/// The library, loaded.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
}

/// A graph, ready to run.
#[derive(Debug)]
pub struct Graph {
    session: Session,
}

impl Runtime {
    /// Loads the shared library at `library`. A process loads one: later calls get the first.
    pub fn load(library: &Path) -> Result<Self, RuntimeError> {
        Ok(Self {
            environment: detcon_runtime::load(library)?,
        })
    }

    /// Reads a graph from the bytes of an ONNX file.
    pub fn graph(&self, onnx: &[u8]) -> Result<Graph, RuntimeError> {
        let session = Session::builder(&self.environment)?.commit_from_memory(onnx)?;
        Ok(Graph { session })
    }
}

impl Graph {
    /// Runs the graph on `images`, uint8 RGB of `shape` `[N, H, W, 3]`, and gives each of `outputs` in C order.
    pub fn run(
        &mut self,
        images: &[u8],
        shape: [usize; 4],
        outputs: &[&str],
    ) -> Result<Vec<Vec<f32>>, RuntimeError> {
        let input = TensorRef::from_array_view((shape, images))?;
        let values = self.session.run(ort::inputs!["images" => input])?;
        let output = |name: &&str| {
            let tensor = values
                .get(name)
                .and_then(|value| value.try_extract_tensor::<f32>().ok());
            tensor
                .map(|(_, values)| values.to_vec())
                .ok_or_else(|| RuntimeError::Output {
                    name: (*name).to_owned(),
                })
        };
        outputs.iter().map(output).collect()
    }
}
