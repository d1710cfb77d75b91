//! Every mapping of tensors in a value, wherever it lies: under whatever keys, beside whatever else.

use std::collections::BTreeMap;

use super::spelling::unwrapped;
use crate::pickle::{Array, Value, readable};

/// A mapping of tensors.
#[derive(Debug, Default)]
pub(super) struct Mapping<'a> {
    /// Keys that lead to it.
    pub(super) at: Vec<String>,
    /// Its tensors, in the file's order.
    pub(super) entries: Vec<Entry<'a>>,
    /// What else it holds: name, and what that is.
    pub(super) others: Vec<(String, String)>,
}

/// A tensor with its names.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its name in the file.
    pub(super) key: String,
    /// The same without what modules are wrapped in.
    pub(super) name: String,
    pub(super) array: Array<'a>,
}

/// What a value holds.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    pub(super) mappings: Vec<Mapping<'a>>,
    /// What lies in no mapping of tensors: the keys that lead there, and what it is.
    pub(super) beside: Vec<(Vec<String>, String)>,
}

/// The collections of a flax model's variables: one tree of parameters, one of moving averages.
///
/// Source: `FlaxPreTrainedModel.init` in transformers' `models/resnet/modeling_flax_resnet.py`.
const FLAX: [&str; 2] = ["params", "batch_stats"];

impl<'a> Contents<'a> {
    /// Walks `value`. Recurses no deeper than the value nests, which its limits see to.
    pub(super) fn of(value: Value<'a>) -> Self {
        let mut contents = Self::default();
        contents.walk(&mut Vec::new(), value);
        contents
    }

    fn walk(&mut self, at: &mut Vec<String>, value: Value<'a>) {
        match value {
            Value::Dict(pairs) if is_flax(&pairs) => self.flax(at, pairs),
            Value::Dict(pairs) => self.mapping(at, pairs),
            Value::List(items)
            | Value::Tuple(items)
            | Value::Set(items)
            | Value::NamedTuple { fields: items, .. } => {
                for (index, item) in items.into_iter().enumerate() {
                    self.below(at, index.to_string(), item);
                }
            }
            other => self.beside.push((at.clone(), what(&other))),
        }
    }

    fn below(&mut self, at: &mut Vec<String>, key: String, value: Value<'a>) {
        at.push(key);
        self.walk(at, value);
        at.pop();
    }

    fn mapping(&mut self, at: &mut Vec<String>, pairs: Vec<(Value<'a>, Value<'a>)>) {
        let tensor = |(key, value): &(Value<'_>, Value<'_>)| {
            key.as_text().is_some() && matches!(value, Value::Array(_))
        };
        if !pairs.iter().any(tensor) {
            for (key, value) in pairs {
                self.below(at, text(&key), value);
            }
            return;
        }
        let mut mapping = Mapping {
            at: at.clone(),
            ..Mapping::default()
        };
        for (key, value) in pairs {
            match value {
                Value::Array(array) if key.as_text().is_some() => mapping.add(&key, array),
                nested @ (Value::Dict(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Set(_)
                | Value::NamedTuple { .. }) => self.below(at, text(&key), nested),
                other => mapping.others.push((text(&key), what(&other))),
            }
        }
        self.mappings.push(mapping);
    }

    /// One mapping of what flax keeps in two, with dots between the names of modules.
    fn flax(&mut self, at: &mut Vec<String>, pairs: Vec<(Value<'a>, Value<'a>)>) {
        let mut mapping = Mapping {
            at: at.clone(),
            ..Mapping::default()
        };
        for (key, value) in pairs {
            if key.as_text().is_some_and(|key| FLAX.contains(&key)) {
                mapping.flatten("", value);
            } else {
                self.below(at, text(&key), value);
            }
        }
        self.mappings.push(mapping);
    }
}

impl<'a> Mapping<'a> {
    /// The keys that lead to it, with dots.
    pub(super) fn place(&self) -> String {
        self.at.join(".")
    }

    fn add(&mut self, key: &Value<'a>, array: Array<'a>) {
        let key = key.as_text().unwrap_or_default();
        self.push(key.to_owned(), array);
    }

    fn push(&mut self, key: String, array: Array<'a>) {
        let name = unwrapped(&key);
        self.entries.push(Entry { key, name, array });
    }

    fn flatten(&mut self, prefix: &str, value: Value<'a>) {
        match value {
            Value::Dict(pairs) => {
                for (key, value) in pairs {
                    let key = key.as_text().map_or_else(|| text(&key), str::to_owned);
                    let dot = if prefix.is_empty() { "" } else { "." };
                    self.flatten(&format!("{prefix}{dot}{key}"), value);
                }
            }
            Value::Array(array) => self.push(prefix.to_owned(), array),
            other => self.others.push((readable(prefix), what(&other))),
        }
    }

    /// A mapping of these tensors alone.
    pub(super) fn of(entries: impl IntoIterator<Item = (String, Array<'a>)>) -> Self {
        let mut mapping = Self::default();
        for (key, array) in entries {
            mapping.push(key, array);
        }
        mapping
    }

    /// Its tensors by name.
    pub(super) fn by_name(&self) -> BTreeMap<&str, &[usize]> {
        let entries = self.entries.iter();
        entries
            .map(|entry| (entry.name.as_str(), entry.array.shape()))
            .collect()
    }
}

fn is_flax(pairs: &[(Value<'_>, Value<'_>)]) -> bool {
    FLAX.iter().all(|wanted| {
        let tree = |(key, value): &(Value<'_>, Value<'_>)| {
            key.as_text() == Some(wanted) && matches!(value, Value::Dict(_))
        };
        pairs.iter().any(tree)
    })
}

/// A key as it is shown.
fn text(key: &Value<'_>) -> String {
    match key {
        Value::Int(number) => number.to_string(),
        Value::Opaque(class) => class.to_string(),
        other => readable(other.as_text().unwrap_or("a key that is no text")),
    }
}

/// What a value is, for a list of what is set aside.
fn what(value: &Value<'_>) -> String {
    match value {
        Value::Opaque(class) => format!("an object of {class}, which is not built"),
        other => other.kind().to_string(),
    }
}
