//! The server: how it starts, its routes and what surrounds them, its connections.

mod connections;
mod conversation;
mod drain;
mod middleware;
pub(crate) mod routes;
mod start;
mod tls;

pub use routes::document;
pub use start::{GREETING, ServeError, Server};
pub use tls::TlsError;

#[cfg(test)]
mod tests;
