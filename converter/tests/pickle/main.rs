//! The unpickler against real and hostile files.

mod attacks;
mod golden;
mod layouts;
mod properties;
mod protocols;
