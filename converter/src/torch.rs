//! Checkpoints from the torch side: state dicts under torchvision's names, in PyTorch's archives, in its older files,
//! or safetensors.
//!
//! A state dict may lie under a key such as `state_dict`, and its names may start with a prefix such as
//! `module.encoder.`: both are found where there is one choice, and asked for where there are several.

mod archive;
mod legacy;
mod look_alike;
mod names;
mod state;

use std::fmt;

use detcon_core::arch::ResNetSpec;
use detcon_core::names::Destination;

pub use archive::ArchiveError;
pub(crate) use legacy::START as LEGACY_START;
pub use look_alike::LookAlike;

use crate::pickle::{Array, Kind, PickleError};

/// Where a state dict was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// PyTorch's archive.
    PyTorch,
    /// A safetensors file.
    Safetensors,
}

/// A state dict: tensors by name, in the file's order.
#[derive(Debug)]
pub struct StateDict<'a> {
    container: Container,
    /// Keys that it lay under, with dots.
    wrapper: Option<String>,
    entries: Vec<(String, Array<'a>)>,
    set_aside: Vec<(String, &'static str)>,
    /// What the file says of its network, where this project wrote it.
    declared: Option<ResNetSpec>,
}

/// Which network a state dict holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backbone {
    architecture: ResNetSpec,
    prefix: String,
    /// Whether tensors outside the prefix are set aside: the user named it.
    outside: Outside,
}

/// What becomes of tensors whose names do not start with the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    SetAside,
    Surplus,
}

/// Why a file is no state dict of a ResNet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorchError {
    /// The archive is damaged, or not PyTorch's.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The pickle in it is damaged, hostile, or no checkpoint.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// An old file of another kind of machine.
    #[error(
        "the file was written before PyTorch 1.6 on a machine that is not little-endian: load it in PyTorch and save \
         it again"
    )]
    ByteOrder,
    /// The file is no safetensors file.
    #[error("not a safetensors file: {detail}")]
    Safetensors {
        /// What the reader said.
        detail: String,
    },
    /// The archive holds something else.
    #[error("the archive holds {found}, not a state dict: save model.state_dict()")]
    NotAStateDict {
        /// What it holds.
        found: Kind,
    },
    /// A mapping without tensors.
    #[error("no tensors are in the file: its keys are {}", keys.join(", "))]
    NoTensors {
        /// The first few keys.
        keys: Vec<String>,
    },
    /// Several mappings of tensors.
    #[error("several state dicts are in the file: {}; save the one that is meant by itself", keys.join(", "))]
    SeveralStateDicts {
        /// Their keys.
        keys: Vec<String>,
    },
    /// A tensor's elements are of a type that no weight is.
    #[error("{name} is {dtype}: weights are floats")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// No names are a ResNet's.
    #[error("no ResNet is in here: expected conv1.weight and layer1.0.conv1.weight, found {}", found.join(", "))]
    NoNetwork {
        /// The first few names.
        found: Vec<String>,
    },
    /// Several networks, each under its own prefix.
    #[error("several networks are in here: name one with --strip-prefix, of {}", prefixes.join(", "))]
    SeveralNetworks {
        /// Their prefixes.
        prefixes: Vec<String>,
    },
    /// Tensors beside the one network there is.
    #[error(
        "{count} tensors are outside the network under {prefix:?} ({}): --strip-prefix {prefix} leaves them out",
        names.join(", ")
    )]
    Outside {
        /// The network's prefix.
        prefix: String,
        /// How many.
        count: usize,
        /// The first few.
        names: Vec<String>,
    },
    /// The prefix that was given has no network.
    #[error("no ResNet has names that start with {prefix:?}; prefixes with one: {}", known.join(", "))]
    NoSuchPrefix {
        /// As given.
        prefix: String,
        /// Prefixes under which there is one.
        known: Vec<String>,
    },
    /// Block counts of no known network.
    #[error("no ResNet has {blocks:?} {kind} blocks in its four groups")]
    NoSuchDepth {
        /// Blocks in each group.
        blocks: [usize; 4],
        /// `bottleneck` or `basic`.
        kind: &'static str,
    },
    /// A stem of no ResNet.
    #[error("{name} has shape {shape:?}: a stem's is [64 × width, 3, 7, 7]")]
    Stem {
        /// The stem's kernel.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Bottlenecks whose width is no multiple.
    #[error("{name} has shape {shape:?}: a bottleneck is {usual} wide, or 2 to 4 times that")]
    Bottleneck {
        /// The first block's first kernel.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The width of a plain `ResNet`'s.
        usual: usize,
    },
    /// A network that looks like a `ResNet` and is none.
    #[error("{tensor} tells that it is {kind}: only plain ResNets can be held")]
    LookAlike {
        /// The tensor that gives it away.
        tensor: String,
        /// What it is.
        kind: LookAlike,
    },
    /// Norms without moving averages.
    #[error(
        "{tensor} has no moving averages beside it, and no norm has: it is {}; if it is the latter, \
         --fresh-moving-averages starts them at mean 0 and variance 1",
        LookAlike::GroupNorm
    )]
    NoAverages {
        /// The first such norm's factor.
        tensor: String,
    },
    /// What the file says of its network is damaged.
    #[error("{detail}")]
    Declared {
        /// What is wrong.
        detail: String,
    },
}

impl<'a> StateDict<'a> {
    /// Every tensor with its name.
    #[must_use]
    pub fn entries(&self) -> &[(String, Array<'a>)] {
        &self.entries
    }

    /// What the file has besides, with the reason why it is not used.
    #[must_use]
    pub fn set_aside(&self) -> &[(String, &'static str)] {
        &self.set_aside
    }

    /// Tells the network from the names and the stem's shape. `prefix` is in front of every name of the network;
    /// none means that it is to be found.
    pub fn backbone(&self, prefix: Option<&str>) -> Result<Backbone, TorchError> {
        names::backbone(&self.entries, prefix)
    }

    /// What the file says of its network.
    #[must_use]
    pub const fn declared(&self) -> Option<ResNetSpec> {
        self.declared
    }

    /// Refuses norms none of which has moving averages: names do not tell `GroupNorm` from a batch norm.
    pub fn check_averages(&self, backbone: &Backbone) -> Result<(), TorchError> {
        match look_alike::without_averages(&self.entries, &backbone.prefix) {
            Some(tensor) => Err(TorchError::NoAverages { tensor }),
            None => Ok(()),
        }
    }

    /// The tensors, each with where it goes.
    #[must_use]
    pub fn into_destinations(self, backbone: &Backbone) -> Vec<(String, Destination, Array<'a>)> {
        let known = names::Names::new(backbone.architecture);
        let destination = |name: &str| match (name.strip_prefix(&backbone.prefix), backbone.outside)
        {
            (Some(name), _) => known.destination(name),
            (None, Outside::SetAside) => Destination::SetAside {
                reason: format!("its name does not start with {:?}", backbone.prefix),
            },
            (None, Outside::Surplus) => Destination::Nowhere,
        };
        let entries = self.entries.into_iter();
        entries
            .map(|(name, array)| (name.clone(), destination(&name), array))
            .collect()
    }

    /// How the file is laid out, in words.
    #[must_use]
    pub fn layout(&self, backbone: &Backbone) -> String {
        let mut text = self.to_string();
        if !backbone.prefix.is_empty() {
            text.push_str(", names under ");
            text.push_str(backbone.prefix.trim_end_matches('.'));
        }
        text
    }
}

impl Backbone {
    /// The network, as far as names and shapes tell it.
    #[must_use]
    pub const fn architecture(&self) -> ResNetSpec {
        self.architecture
    }
}

impl fmt::Display for StateDict<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.container {
            Container::PyTorch => "PyTorch state dict",
            Container::Safetensors => "safetensors state dict",
        })?;
        match &self.wrapper {
            Some(wrapper) => write!(out, " in {wrapper}"),
            None => Ok(()),
        }
    }
}
