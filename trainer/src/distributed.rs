//! Ranks: processes that train one network together, each on its share of every batch.
//!
//! [`Rendezvous`] says who they are, as torchrun does in the environment; [`Group`] is what they compute together, over
//! Gloo on the CPU and NCCL on CUDA. A collective that fails leaves its tensor as it was and the group takes note:
//! [`Group::check`] then says which rank is gone.

mod error;
mod ffi;
mod group;
mod rendezvous;
mod store;
mod watch;

pub use self::error::DistributedError;
pub use self::group::Group;
pub use self::rendezvous::{Rendezvous, Share};

pub(crate) use self::ffi::{autocast, lerp};
