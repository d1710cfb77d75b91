//! The server: photographs in over HTTP, embeddings out.
//!
//! A body is admitted, decoded and preprocessed on a bounded pool, queued for the one thread that owns the model's
//! engine, and answered in the form that the client accepts.

mod accept;
mod api;
mod app;
mod batch;
pub mod bench;
mod budget;
pub mod config;
mod connections;
mod demand;
mod encode;
pub mod engine;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod health;
pub mod http;
mod input;
mod observe;
mod pipeline;
mod playground;
mod problem;
mod protect;
mod provenance;
mod queue;
mod registry;
mod segmentation;
mod serve;
mod stats;
mod store;
#[cfg(test)]
mod testing;
mod view;

pub use app::document;
pub use observe::telemetry::{Telemetry, TelemetryError};
pub use protect::KeysError;
pub use protect::tls::TlsError;
pub use registry::{Example, StoreError};
pub use serve::{GREETING, ServeError, Server};
