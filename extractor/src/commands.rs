//! The commands: what their flags are, and what they do.

pub(crate) mod embeddings;
mod extract;
pub(crate) mod features;
mod flags;
mod metrics;
mod progress;
pub(crate) mod regions;
pub(crate) mod status;
