//! What the server, the converter and the trainer share: image decoding and upstream's evaluation preprocessing.
//! No network, no async runtime, no inference engine.

pub mod image;
pub mod preprocess;
