//! The server: photographs in over HTTP, embeddings out.
//!
//! A body is admitted, decoded and preprocessed on a bounded pool, queued for the one thread that owns the model's
//! engine, and answered in the form that the client accepts.
//!
//! Modules from top to bottom; none imports one above it.

pub mod cli;
mod serve;

pub mod config;

mod api;
mod protect;

mod http;

mod models;

mod engine;

mod observe;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod testing;

pub use models::{Example, StoreError};
pub use observe::lines::LineWriter;
pub use observe::telemetry::{Telemetry, TelemetryError};
pub use protect::KeysError;
pub use serve::{GREETING, ServeError, Server, TlsError, document};
