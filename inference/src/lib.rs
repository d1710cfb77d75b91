//! What a model computes of images: embeddings, dense features, regions, segments. Synchronous: ONNX Runtime and
//! [`detcon_core`], nothing of HTTP, of async or of a store.
//!
//! A model directory is opened whole ([`Model::open`]): its sessions, its projector and its segmentation heads, and
//! nothing that it computes with is read from the directory afterwards. Whoever runs a model from one thread uses
//! [`Model`]; whoever queues work of many takes it apart into a [`Network`], which threads share, and an [`Engine`],
//! which one thread owns. A graph that is in no directory yet is a [`Graph`].

mod batch;
mod compute;
mod cost;
mod engine;
mod error;
mod graph;
mod held;
mod library;
mod model;
mod network;
mod output;
mod precision;
mod prepare;
mod regions;
mod segmentation;
mod session;
mod view;

pub use batch::{Batch, BatchLimits, InputTensor};
pub use compute::{Compute, Device};
pub use cost::Cost;
pub use engine::Engine;
pub use error::{InferenceError, LoadError, OpenError};
pub use graph::Graph;
pub use library::{Runtime, library};
pub use model::{Model, OpenOptions};
pub use network::{Dense, Network};
pub use output::{INPUT, Output};
pub use precision::PrecisionChoice;
pub use prepare::prepared;
pub use regions::{Region, Regions, Space};
pub use segmentation::{Method, feature_map};
pub use view::{Part, View, ViewError};
