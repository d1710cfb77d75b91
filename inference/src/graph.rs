//! A graph that is in no model directory: an import's proofs, calibration.

use ort::session::Session;
use ort::value::TensorRef;

use crate::error::InferenceError;
use crate::library::Runtime;
use crate::output::INPUT;
use crate::session;

/// A graph, ready to run.
#[derive(Debug)]
pub struct Graph {
    session: Session,
}

impl Graph {
    /// Reads a graph from the bytes of an ONNX file.
    pub fn from_bytes(runtime: &Runtime, onnx: &[u8]) -> Result<Self, InferenceError> {
        let session = session::from_bytes(runtime, onnx)?;
        Ok(Self { session })
    }

    /// Runs the graph on `images`, uint8 RGB of `shape` `[N, H, W, 3]`, and gives each of `outputs` in C order.
    pub fn run(
        &mut self,
        images: &[u8],
        shape: [usize; 4],
        outputs: &[&str],
    ) -> Result<Vec<Vec<f32>>, InferenceError> {
        let input = TensorRef::from_array_view((shape, images))?;
        let values = self.session.run(ort::inputs![INPUT => input])?;
        let output = |name: &&str| {
            let tensor = values
                .get(name)
                .and_then(|value| value.try_extract_tensor::<f32>().ok());
            tensor
                .map(|(_, values)| values.to_vec())
                .ok_or(InferenceError::Output {
                    found: Vec::new(),
                    images: shape[0],
                })
        };
        outputs.iter().map(output).collect()
    }
}
