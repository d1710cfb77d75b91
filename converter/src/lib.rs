//! Reads published DetCon checkpoints and writes them for other software.

pub mod haiku;
pub mod npy;
pub mod pickle;
pub mod source;
