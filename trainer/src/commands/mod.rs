//! One file a command: its arguments, and what it prints.

pub(crate) mod masks;
#[cfg(feature = "torch")]
pub(crate) mod pretrain;
#[cfg(feature = "torch")]
pub(crate) mod ranks;
#[cfg(feature = "torch")]
pub(crate) mod sanity;
