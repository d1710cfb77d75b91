//! Published checkpoints in, model directories out: reading (an unpickler that executes nothing), mapping by name,
//! and writing safetensors and ONNX.

mod archive;
pub mod convention;
pub mod demo;
pub mod ensure;
pub mod export;
pub mod fetch;
mod folder;
pub mod haiku;
pub mod import;
pub mod inspect;
pub mod location;
mod mapped;
mod model_writer;
mod msgpack;
pub mod next_step;
pub mod npy;
mod npz;
pub mod onnx;
pub mod pickle;
pub mod progress;
pub mod published;
pub mod quantize;
pub mod quantized_import;
mod self_check;
pub mod source;
pub mod stem_check;
pub mod timm;
pub mod torch;
mod transformers;
pub mod verify;

pub use model_writer::{Model, ModelWriter, WriteError};
pub use self_check::SelfCheckError;
