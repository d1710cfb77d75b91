//! What the end-to-end tests and the benchmark share: golden data, the models made from it, and a running server.

pub mod golden;
pub mod models;
pub mod service;
