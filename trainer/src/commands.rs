//! One file a command: its arguments, and what it prints.

#[cfg(feature = "torch")]
pub(crate) mod export;
#[cfg(feature = "torch")]
pub(crate) mod finetune;
pub(crate) mod masks;
pub(crate) mod objects;
mod outline;
#[cfg(feature = "torch")]
pub(crate) mod pretrain;
#[cfg(feature = "torch")]
pub(crate) mod probe;
#[cfg(feature = "torch")]
mod progress;
#[cfg(feature = "torch")]
pub(crate) mod ranks;
pub(crate) mod report;
#[cfg(feature = "torch")]
pub(crate) mod sanity;
