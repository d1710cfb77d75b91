//! Checkpoints of tensors by dotted names: state dicts in PyTorch's archives, in its older files, in safetensors, in
//! pickles of NumPy arrays, and the trees of flax.
//!
//! Such a file is walked whole: every mapping of tensors in it is looked at, and a network is where its names and shapes
//! are one's, under whatever prefix and in any of the spellings that are known. One is taken; of several the one that
//! the field takes, where it does; else the user is asked.

mod beside;
mod candidate;
mod choice;
mod legacy;
mod look_alike;
mod mapping;
mod names;
mod spelling;
mod state;
mod usual;

use std::fmt;

use detcon_core::arch::ResNetSpec;
use detcon_core::names::Destination;

pub use crate::archive::ArchiveError;
pub(crate) use legacy::START as LEGACY_START;
pub use look_alike::LookAlike;

use crate::pickle::{Array, Kind, PickleError};
use beside::Beside;
use candidate::Table;
use mapping::Mapping;
use spelling::Spelling;

/// Where a state dict was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// PyTorch's archive.
    PyTorch,
    /// A safetensors file.
    Safetensors,
    /// A pickle, a NumPy archive or msgpack.
    Arrays,
}

/// A file of tensors by name.
#[derive(Debug)]
pub struct TensorFile<'a> {
    container: Container,
    mappings: Vec<Mapping<'a>>,
    /// What lies in no mapping of tensors: the keys that lead there, and what it is.
    beside: Vec<(Vec<String>, String)>,
    /// What the file says of its network, where this project wrote it.
    declared: Option<ResNetSpec>,
}

/// The network that is taken of a file.
#[derive(Clone, Debug)]
pub struct Backbone {
    architecture: ResNetSpec,
    table: Table,
    mapping: usize,
    prefix: String,
    spelling: &'static Spelling,
    place: String,
    usual: Option<String>,
}

/// A network of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is: the keys that lead to its mapping and the prefix of its names, with dots; empty at the top.
    pub place: String,
    /// How its names are spelled.
    pub spelling: &'static str,
    /// The network, where the tensors are one's; nothing where they only begin like one.
    pub architecture: Option<ResNetSpec>,
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
    /// No mapping of names to tensors is in the file.
    #[error("no mapping of names to tensors is in the file: it holds {}", found.join(", "))]
    NoTensors {
        /// The first few things that it holds.
        found: Vec<String>,
    },
    /// A whole model, whose classes only Python has.
    #[error(
        "the file holds an object of {class}, not its weights: in Python, torch.save(torch.load(FILE, \
         weights_only=False).state_dict(), NEW), if you trust the file"
    )]
    WholeObject {
        /// The object's class.
        class: String,
    },
    /// A parameter that is an object of some class.
    #[error(
        "{name} is {what}: only plain tensors are read; in Python, save each as tensor.detach().clone().contiguous()"
    )]
    NotATensor {
        /// The parameter.
        name: String,
        /// What stands in its place.
        what: String,
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
    #[error(
        "{count} networks are in here: name one with --strip-prefix, of {}{}",
        prefixes.join(", "),
        if *count > prefixes.len() { " …" } else { "" }
    )]
    SeveralNetworks {
        /// How many there are.
        count: usize,
        /// Where the first few are.
        prefixes: Vec<String>,
    },
    /// The prefix that was given has no network.
    #[error("no ResNet has names that start with {prefix:?}; --strip-prefix may be one of: {}", known.join(", "))]
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

impl<'a> TensorFile<'a> {
    /// Every tensor: where it is in the file, and itself.
    pub fn entries(&self) -> impl Iterator<Item = (String, &Array<'a>)> {
        self.mappings.iter().flat_map(|mapping| {
            let place = mapping.place();
            let dot = if place.is_empty() { "" } else { "." };
            let entries = mapping.entries.iter();
            entries.map(move |entry| (format!("{place}{dot}{}", entry.key), &entry.array))
        })
    }

    /// The networks in the file.
    #[must_use]
    pub fn networks(&self) -> Vec<Found> {
        let found = choice::all(&self.mappings).into_iter();
        found
            .map(|(place, spelling, architecture)| Found {
                place,
                spelling,
                architecture,
            })
            .collect()
    }

    /// The network to take. `place` says which: where it is in the file, or what its names start with; none means
    /// that it is to be found.
    pub fn backbone(&self, place: Option<&str>) -> Result<Backbone, TorchError> {
        let backbone = choice::choose(&self.mappings, place)?;
        let names = names::Names::new(&backbone);
        let others = self.mappings.get(backbone.mapping).map(|it| &it.others);
        match others
            .into_iter()
            .flatten()
            .find(|it| names.is_parameter(&it.0))
        {
            Some((name, what)) => Err(TorchError::NotATensor {
                name: name.clone(),
                what: what.clone(),
            }),
            None => Ok(backbone),
        }
    }

    /// What the file says of its network.
    #[must_use]
    pub const fn declared(&self) -> Option<ResNetSpec> {
        self.declared
    }

    /// Refuses norms none of which has moving averages: names do not tell `GroupNorm` from a batch norm.
    pub fn check_averages(backbone: &Backbone) -> Result<(), TorchError> {
        match look_alike::without_averages(&backbone.table) {
            Some(tensor) => Err(TorchError::NoAverages { tensor }),
            None => Ok(()),
        }
    }

    /// What is not in the network's mapping, with the reason why it is not used: the highest keys under which nothing
    /// of the network is.
    #[must_use]
    pub fn beside(&self, backbone: &Backbone) -> Vec<(String, String)> {
        let chosen = self.mappings.get(backbone.mapping);
        let at = chosen.map_or(&[][..], |it| &it.at);
        let mut rows = Beside::default();
        for (number, mapping) in self.mappings.iter().enumerate() {
            if number != backbone.mapping {
                rows.mapping(mapping, at);
            }
        }
        for (keys, what) in &self.beside {
            rows.value(keys, what, at);
        }
        let others = chosen.into_iter().flat_map(|it| &it.others);
        let others = others.map(|(name, what)| (name.clone(), format!("no tensor: {what}")));
        rows.told().chain(others).collect()
    }

    /// The tensors of the network's mapping, each with where it goes.
    #[must_use]
    pub fn into_destinations(self, backbone: &Backbone) -> Vec<(String, Destination, Array<'a>)> {
        let known = names::Names::new(backbone);
        let mut mappings = self.mappings.into_iter();
        let mapping = mappings.nth(backbone.mapping).unwrap_or_default();
        let entries = mapping.entries.into_iter();
        entries
            .map(|entry| (entry.key, known.destination(&entry.name), entry.array))
            .collect()
    }

    /// The tensors of the network's mapping that are not used, each with the reason.
    #[must_use]
    pub fn unused(&self, backbone: &Backbone) -> Vec<(String, String)> {
        let known = names::Names::new(backbone);
        let mapping = self.mappings.get(backbone.mapping);
        let entries = mapping.into_iter().flat_map(|it| &it.entries);
        let aside = entries.filter_map(|entry| match known.destination(&entry.name) {
            Destination::SetAside { reason } => Some((entry.key.clone(), reason)),
            Destination::Backbone { .. } | Destination::Head { .. } | Destination::Nowhere => None,
        });
        aside.collect()
    }

    /// How the file is laid out, in words.
    #[must_use]
    pub fn layout(&self, backbone: &Backbone) -> String {
        let mut text = self.to_string();
        let mapping = self.mappings.get(backbone.mapping);
        let place = mapping.map(Mapping::place).unwrap_or_default();
        if !place.is_empty() {
            text.push_str(" in ");
            text.push_str(&place);
        }
        if !backbone.prefix.is_empty() {
            text.push_str(", names under ");
            text.push_str(backbone.prefix.trim_end_matches('.'));
        }
        if !backbone.spelling.is_torchvisions() {
            text.push_str(", as ");
            text.push_str(backbone.spelling.name);
            text.push_str(" spells them");
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

    /// Where it is in the file, with dots: what `--strip-prefix` takes.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Why it was taken, where there were others.
    #[must_use]
    pub fn usual(&self) -> Option<&str> {
        self.usual.as_deref()
    }
}

impl fmt::Display for TensorFile<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.container {
            Container::PyTorch => "PyTorch state dict",
            Container::Safetensors => "safetensors state dict",
            Container::Arrays => "mapping of arrays",
        })
    }
}
