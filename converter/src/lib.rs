//! Published checkpoints in, model directories out: reading (an unpickler that executes nothing), mapping by name,
//! and writing safetensors and ONNX.

pub mod demo;
mod model_writer;
pub mod onnx;
mod self_check;
pub mod timm;

pub use model_writer::{Model, ModelWriter, WriteError};
pub use self_check::SelfCheckError;
