//! The handlers, one file a subject.

pub(crate) mod embeddings;
pub(crate) mod health;
pub(crate) mod models;
