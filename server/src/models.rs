//! What is served, and where it comes from: the registry of models, who loads them, and the store that they lie in.

mod error;
mod loader;
mod model;
mod registry;
pub(crate) mod store;
mod watch;

pub(crate) use error::ModelsError;
pub(crate) use loader::Loader;
pub(crate) use model::{Model, OnnxOpener, ServeOptions};
#[cfg(test)]
pub(crate) use model::{Opener, Refusal};
pub use registry::{Example, StoreError};
pub(crate) use registry::{Registry, State};
