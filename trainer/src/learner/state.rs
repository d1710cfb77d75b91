//! All that a run must keep to go on as if nothing had happened.

use std::collections::BTreeMap;

use detcon_core::checkpoint;
use tch::Device;

use super::{Learner, Teacher};
use crate::network::{Averages, MovingAverage, Network, NetworkError, Weights};
use crate::tensor::{from_core, to_core};

/// A tensor of the state, and how often it was updated where that matters (moving averages, moments).
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The tensor.
    pub tensor: checkpoint::Tensor,
    /// Updates so far; 0 where nothing depends on it.
    pub updates: i64,
}

/// A run between two steps, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The next step.
    pub step: u64,
    /// Every tensor by name: `online.…`, `target.…`, `optimizer.…`.
    pub tensors: BTreeMap<String, Kept>,
}

/// Where the tensors of each part are kept.
pub(crate) mod part {
    pub(crate) const ONLINE: &str = "online.";
    pub(crate) const TARGET: &str = "target.";
    pub(crate) const OPTIMIZER: &str = "optimizer.";
}

impl Learner {
    /// What a checkpoint keeps.
    #[must_use]
    pub fn state(&self) -> State {
        let mut tensors = BTreeMap::new();
        keep_network(&mut tensors, part::ONLINE, &self.online);
        if let Teacher::Target(target) = &self.teacher {
            keep_network(&mut tensors, part::TARGET, target);
        }
        for (name, (tensor, updates)) in self.optimizer.memory() {
            let tensor = to_core(&tensor);
            tensors.insert(
                format!("{}{name}", part::OPTIMIZER),
                Kept { tensor, updates },
            );
        }
        State {
            step: self.step,
            tensors,
        }
    }

    /// Goes on from a state of a run of the same settings.
    pub fn restore(&mut self, state: &State, device: Device) -> Result<(), NetworkError> {
        let network = |part: &str, like: &Network| {
            let (mut weights, mut averages) = (Weights::new(), Averages::new());
            for (name, kept) in below(state, part) {
                let tensor = from_core(&kept.tensor, device);
                if like.averages().contains_key(name) {
                    averages.insert(
                        name.to_owned(),
                        MovingAverage::resumed(tensor, kept.updates),
                    );
                } else {
                    weights.insert(name.to_owned(), tensor);
                }
            }
            let network = Network::from_parts(like.spec(), like.heads(), weights, averages)?;
            Ok::<_, NetworkError>(network.with_decay(like.decay()).among(like.group()))
        };
        let online = network(part::ONLINE, &self.online)?;
        if let Teacher::Target(target) = &mut self.teacher {
            **target = network(part::TARGET, target)?;
        }
        self.online = online.differentiable();
        let memory = below(state, part::OPTIMIZER).map(|(name, kept)| {
            (
                name.to_owned(),
                (from_core(&kept.tensor, device), kept.updates),
            )
        });
        self.optimizer.recall(memory.collect());
        self.step = state.step;
        Ok(())
    }
}

fn below<'a>(state: &'a State, part: &str) -> impl Iterator<Item = (&'a str, &'a Kept)> {
    let tensors = state.tensors.iter();
    tensors.filter_map(move |(name, kept)| Some((name.strip_prefix(part)?, kept)))
}

fn keep_network(tensors: &mut BTreeMap<String, Kept>, part: &str, network: &Network) {
    for (name, weight) in network.weights() {
        let tensor = to_core(weight);
        tensors.insert(format!("{part}{name}"), Kept { tensor, updates: 0 });
    }
    for (name, average) in network.averages() {
        let tensor = to_core(average.hidden());
        let updates = average.updates();
        tensors.insert(format!("{part}{name}"), Kept { tensor, updates });
    }
}
