//! Who computes next: the pool that decodes, the queue in front of each model's engine, the thread that owns it, and
//! the turns that engines take.

mod batcher;
mod cost;
mod job;
mod memory;
mod pool;
mod queue;
mod turns;
mod urgency;
mod work;

pub(crate) use batcher::{Batcher, QueueLimits, Run};
pub(crate) use cost::{CostLimits, Excess, Form, Need};
pub(crate) use job::Place;
pub(crate) use memory::{Memory, NoRoom, Share};
pub(crate) use turns::Turns;
pub(crate) use urgency::{Lane, Party, Urgency};
pub(crate) use work::{Afforded, Image, Pipeline, Queued, Work, WorkError};
