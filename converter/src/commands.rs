//! One file a command: its arguments, and what it prints.

pub(crate) mod demo;
pub(crate) mod ensure;
pub(crate) mod export;
pub(crate) mod failure;
mod fetching;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod list;
mod network;
mod output;
mod quantization;
pub(crate) mod quantize;
pub(crate) mod verify;
