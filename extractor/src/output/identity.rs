//! What makes parts those of one run: what they were made of, with and how. It stands in each part's metadata.

use std::collections::BTreeMap;

use parquet::file::metadata::KeyValue;

/// What a key of a part's metadata begins with.
const PREFIX: &str = "detcon.";

/// Something that a part says of what made it, in their order in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// embeddings, regions or features.
    Command,
    /// The model's name.
    Model,
    /// SHA-256 of its manifest.
    Digest,
    /// What it computed in.
    Precision,
    /// What it saw.
    View,
    /// Which pixels of a file.
    Pixels,
    /// The type of numbers.
    Float,
    /// How it is written.
    Format,
    /// Whatever else of the flags decides the rows.
    Options,
    /// Images of an engine call, which decide the last bits of numbers.
    Batch,
    /// What was read.
    Input,
    /// How many parts there are.
    Parts,
}

impl Fact {
    /// Every fact.
    pub const ALL: [Self; 12] = [
        Self::Command,
        Self::Model,
        Self::Digest,
        Self::Precision,
        Self::View,
        Self::Pixels,
        Self::Float,
        Self::Format,
        Self::Options,
        Self::Batch,
        Self::Input,
        Self::Parts,
    ];

    /// Its name in metadata, after the prefix, and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Model => "model",
            Self::Digest => "digest",
            Self::Precision => "precision",
            Self::View => "view",
            Self::Pixels => "pixels",
            Self::Float => "dtype",
            Self::Format => "format",
            Self::Options => "options",
            Self::Batch => "batch",
            Self::Input => "input",
            Self::Parts => "parts",
        }
    }
}

/// All facts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity(BTreeMap<Fact, String>);

impl Identity {
    /// What a run is.
    #[must_use]
    pub fn of(facts: [(Fact, String); Fact::ALL.len()]) -> Self {
        Self(facts.into())
    }

    /// What a part says; nothing where it says less than all of it.
    pub(super) fn read(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let fact = |fact: Fact| {
            let value = metadata.get(&format!("{PREFIX}{}", fact.name()))?;
            Some((fact, value.clone()))
        };
        Fact::ALL
            .into_iter()
            .map(fact)
            .collect::<Option<_>>()
            .map(Self)
    }

    pub(super) fn metadata(&self) -> Vec<KeyValue> {
        let mut metadata: Vec<_> = self
            .0
            .iter()
            .map(|(fact, value)| entry(fact.name(), value))
            .collect();
        metadata.push(entry("version", env!("CARGO_PKG_VERSION")));
        metadata
    }

    /// A fact.
    #[must_use]
    pub fn fact(&self, fact: Fact) -> &str {
        self.0.get(&fact).map_or("", String::as_str)
    }

    /// What differs, this one's first.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let differs = |fact: &Fact| self.fact(*fact) != now.fact(*fact);
        let facts = Fact::ALL.into_iter().filter(differs);
        facts
            .map(|fact| {
                let (name, then, now) = (fact.name(), self.fact(fact), now.fact(fact));
                format!("{name}: {then} then, {now} now")
            })
            .collect()
    }
}

/// An entry of a part's metadata.
pub(super) fn entry(name: &str, value: &str) -> KeyValue {
    KeyValue::new(format!("{PREFIX}{name}"), value.to_owned())
}

/// A number that a part says of itself.
pub(super) fn number(metadata: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    metadata.get(&format!("{PREFIX}{name}"))?.parse().ok()
}
