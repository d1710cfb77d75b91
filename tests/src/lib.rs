//! What the end-to-end tests and the benchmark share: golden data, the models made from it, and a running server.

#![expect(
    clippy::missing_panics_doc,
    reason = "what panics here fails the test that called it"
)]

pub mod crowd;
pub mod golden;
pub mod models;
pub mod results;
pub mod service;
