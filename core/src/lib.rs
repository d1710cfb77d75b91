//! What the server, the converter and the trainer share: the networks and their parameters, checkpoints,
//! images and their preprocessing, and the model directory.
//!
//! No network access, no async, no torch and no ONNX Runtime: everything here is a pure function of bytes,
//! but for the few that read and write files.

pub mod addresses;
pub mod arch;
pub mod checkpoint;
pub mod digest;
pub mod files;
pub mod image;
pub mod model;
pub mod names;
pub mod preprocess;
pub mod projector;
pub mod reference;
pub mod regions;
pub mod segment;
