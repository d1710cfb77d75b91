//! Updates of the weights: [`Lars`], as upstream trains, and [`AdamW`].
//!
//! Weight decay (and LARS's adaptation) leave out biases and batch norms; the network's table says which these are.

use std::collections::BTreeMap;

use tch::Tensor;

mod adamw;
mod lars;

pub use self::adamw::{AdamW, AdamWSettings};
pub use self::lars::{Lars, LarsSettings};

/// A weight with its gradient.
#[derive(Debug)]
pub struct Slot<'a> {
    /// Its name, under which its state is kept.
    pub name: &'a str,
    /// What is updated in place.
    pub weight: &'a mut Tensor,
    /// Gradient of the loss, of the same shape.
    pub gradient: &'a Tensor,
    /// Whether decay and adaptation apply.
    pub regularised: bool,
}

/// What an optimizer remembers, by name: tensors, with the number of updates that made them.
pub type Memory = BTreeMap<String, (Tensor, i64)>;

/// An optimizer and its state.
#[derive(Debug)]
pub enum Optimizer {
    /// LARS.
    Lars(Lars),
    /// `AdamW`.
    AdamW(AdamW),
}

impl Optimizer {
    /// All that it remembers, with the number of updates where that matters.
    #[must_use]
    pub fn memory(&self) -> Memory {
        match self {
            Self::Lars(lars) => lars.memory(),
            Self::AdamW(adamw) => adamw.memory(),
        }
    }

    /// Remembers that instead of what it does.
    pub fn recall(&mut self, memory: Memory) {
        match self {
            Self::Lars(lars) => lars.recall(memory),
            Self::AdamW(adamw) => adamw.recall(memory),
        }
    }

    /// Updates one weight. Each is updated once a step.
    pub fn update(&mut self, slot: &mut Slot<'_>, learning_rate: f64) {
        match self {
            Self::Lars(lars) => lars.update(slot, learning_rate),
            Self::AdamW(adamw) => adamw.update(slot, learning_rate),
        }
    }
}
