//! A checkpoint as haiku sees it: arrays under module paths and parameter names. The layouts that published and
//! self-made DetCon and BYOL checkpoints use are recognised by their keys; whatever is not used of them (the
//! other network, optimizer state, counters) is listed with the reason. Anything that is not recognised is an
//! error that says what was found.
//!
//! Moving averages are entries like parameters, under `MODULE/~/mean_ema` and `MODULE/~/var_ema`, named
//! `average`, `hidden` and `counter`.

mod layout;
mod read;
mod replicas;

use std::fmt;

pub use layout::{Layout, Network};

use crate::pickle::{Array, Kind, Value};

/// The entries of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct HaikuTree<'a> {
    /// How the file was laid out.
    pub layout: Layout,
    /// Parameters and state, in the file's order, parameters first. No module and name occur twice.
    pub entries: Vec<Entry<'a>>,
    /// What the file has besides, every value on its own.
    pub set_aside: Vec<SetAside>,
}

/// One parameter or one value of a module's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Path of the module, such as `res_net50/~/initial_conv`.
    pub module: String,
    /// Name in the module, such as `w`.
    pub name: String,
    /// Its value.
    pub array: Array<'a>,
}

impl Entry<'_> {
    /// Module and name in one.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.module, self.name)
    }
}

/// A value that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is in the file.
    pub key: String,
    /// Why it is not used.
    pub reason: Reason,
}

/// Why a value is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It belongs to the network that was not asked for.
    OtherNetwork(Network),
    /// It is the optimizer's.
    Optimizer,
    /// It counts steps.
    Progress,
    /// It is a random generator's key.
    RandomKey,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNetwork(network) => write!(
                out,
                "part of the {network} network, which was not asked for"
            ),
            Self::Optimizer => out.write_str("the optimizer's state"),
            Self::Progress => out.write_str("progress of the training"),
            Self::RandomKey => out.write_str("a random generator's key"),
        }
    }
}

/// Why a value is no haiku checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaikuError {
    /// The file's value is not of a kind that checkpoints are.
    #[error(
        "the file holds {found}, not a checkpoint: a checkpoint is a mapping of module paths to parameters"
    )]
    NotACheckpoint {
        /// What it holds.
        found: Kind,
    },
    /// A mapping without entries.
    #[error("the checkpoint has no parameters")]
    Empty,
    /// A mapping that is laid out in no known way.
    #[error(
        "the checkpoint's layout is not known: its keys are {}; known are a mapping of modules, \
         params and state, and the online and target networks of an experiment",
        listed(keys, *more)
    )]
    UnknownLayout {
        /// The first few keys.
        keys: Vec<String>,
        /// How many there are besides.
        more: usize,
    },
    /// A key that a known layout does not have.
    #[error("the checkpoint has {key:?} beside {beside:?}, and what that is is not known")]
    UnknownKey {
        /// The key.
        key: String,
        /// A key that told the layout.
        beside: String,
    },
    /// A key that is not text.
    #[error("{at} has {found} as a key: keys are module paths and parameter names")]
    KeyNotText {
        /// Where.
        at: String,
        /// What it is.
        found: Kind,
    },
    /// A named tuple that is no experiment's state.
    #[error(
        "the checkpoint is a {class} with {fields} fields, which is not known: an experiment's state has five"
    )]
    UnknownClass {
        /// Its class.
        class: String,
        /// How many fields it has.
        fields: usize,
    },
    /// A part that the layout must have is missing.
    #[error("the checkpoint has no {key:?}")]
    Missing {
        /// The part.
        key: String,
    },
    /// A module that is not a mapping of names.
    #[error("{key:?} is {found}, not a mapping of parameter names to arrays")]
    NotAModule {
        /// The module.
        key: String,
        /// What it is.
        found: Kind,
    },
    /// A parameter that is not an array.
    #[error("{key:?} is {found}, not an array")]
    NotAnArray {
        /// The parameter.
        key: String,
        /// What it is.
        found: Kind,
    },
    /// A flat key that does not name a module and a parameter.
    #[error("the key {key:?} is not of the form module/name")]
    FlatKey {
        /// The key.
        key: String,
    },
    /// A module and name that occur twice.
    #[error("the checkpoint has {key:?} twice")]
    Duplicate {
        /// Module and name.
        key: String,
    },
    /// An entry without the axis of devices that the others have.
    #[error("{key:?} of shape {shape:?} has no leading axis of {devices} devices")]
    NoDeviceAxis {
        /// Module and name.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Length of that axis in the first entry.
        devices: usize,
    },
    /// An entry whose values are not the same on all devices.
    #[error("{key:?} is not the same on all devices, so no single network can be taken from it")]
    ReplicasDiffer {
        /// Module and name.
        key: String,
    },
}

impl<'a> HaikuTree<'a> {
    /// Finds the entries of a network in a checkpoint's value. `network` matters where the file has two.
    pub fn read(value: &Value<'a>, network: Network) -> Result<Self, HaikuError> {
        let tree = read::read(value, network)?;
        if tree.entries.is_empty() {
            return Err(HaikuError::Empty);
        }
        let mut seen = std::collections::HashSet::new();
        for entry in &tree.entries {
            if !seen.insert((entry.module.as_str(), entry.name.as_str())) {
                return Err(HaikuError::Duplicate { key: entry.key() });
            }
        }
        Ok(tree)
    }
}

fn listed(keys: &[String], more: usize) -> String {
    let shown = keys
        .iter()
        .map(|key| format!("{key:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
