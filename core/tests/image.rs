//! Placeholder
mod common;
