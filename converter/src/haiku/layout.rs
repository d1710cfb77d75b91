//! Layouts of checkpoints, told by their keys. One table names the keys that are not module paths.

use std::fmt;

use super::Reason;

/// One of the two networks that DetCon trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The network that is trained by gradients. The published checkpoints are of this one.
    #[default]
    Online,
    /// Its moving average.
    Target,
}

impl Network {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Online => Self::Target,
            Self::Target => Self::Online,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Online => "online",
            Self::Target => "target",
        })
    }
}

/// How a checkpoint is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `{module: {name: array}}`, parameters and moving averages in one: the published files.
    Released,
    /// `{'module/name': array}`.
    Flat,
    /// `{'params': …, 'state': …}`.
    ParamsState,
    /// `(params, state)`.
    Tuple,
    /// `{'online_params': …, 'target_params': …, 'online_state': …, 'target_state': …}`.
    OnlineTarget {
        /// The network that was read.
        network: Network,
    },
    /// The state of an experiment, by itself or beside the step: a named tuple of the same four and the optimizer.
    ExperimentState {
        /// The network that was read.
        network: Network,
        /// The named tuple's class, with dots.
        class: String,
    },
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => out.write_str("released"),
            Self::Flat => out.write_str("flat"),
            Self::ParamsState => out.write_str("params and state"),
            Self::Tuple => out.write_str("tuple of params and state"),
            Self::OnlineTarget { network } => write!(out, "online and target ({network} read)"),
            Self::ExperimentState { network, class } => write!(out, "{class} ({network} read)"),
        }
    }
}

/// What stands under a key that is not a module path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Params,
    State,
    ParamsOf(Network),
    StateOf(Network),
    Experiment,
    Unused(Reason),
}

/// The keys that are not module paths.
const PARTS: &[(&str, Part)] = &[
    ("params", Part::Params),
    ("state", Part::State),
    ("online_params", Part::ParamsOf(Network::Online)),
    ("target_params", Part::ParamsOf(Network::Target)),
    ("online_state", Part::StateOf(Network::Online)),
    ("target_state", Part::StateOf(Network::Target)),
    ("exp_state", Part::Experiment),
    ("experiment_state", Part::Experiment),
    ("opt_state", Part::Unused(Reason::Optimizer)),
    ("step", Part::Unused(Reason::Progress)),
    ("global_step", Part::Unused(Reason::Progress)),
    ("rng", Part::Unused(Reason::RandomKey)),
    ("train_step_rng", Part::Unused(Reason::RandomKey)),
];

/// What stands under `key`, if it is not a module path.
pub(super) fn part(key: &str) -> Option<Part> {
    PARTS.iter().find(|row| row.0 == key).map(|row| row.1)
}
