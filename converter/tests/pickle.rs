//! The unpickler against real and hostile files.

mod attacks;
mod golden;
mod properties;
mod protocols;
