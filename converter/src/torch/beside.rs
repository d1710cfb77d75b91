//! What lies beside the network in a file, as it is listed.

use std::collections::BTreeMap;

use super::mapping::Mapping;

/// What lies beside the network, by the highest keys under which nothing of it is: how many tensors, or what it is.
#[derive(Default)]
pub(super) struct Beside(BTreeMap<String, (usize, String)>);

impl Beside {
    fn add(&mut self, key: String, tensors: usize, what: &str) {
        let row = self.0.entry(key).or_default();
        row.0 += tensors;
        what.clone_into(&mut row.1);
    }

    /// A value that is in no mapping of tensors.
    pub(super) fn value(&mut self, keys: &[String], what: &str, chosen: &[String]) {
        self.add(apart(keys, chosen), 0, what);
    }

    /// All of a mapping; one that the network's own mapping is in, piece by piece.
    pub(super) fn mapping(&mut self, mapping: &Mapping<'_>, chosen: &[String]) {
        if !chosen.starts_with(&mapping.at) {
            self.add(apart(&mapping.at, chosen), mapping.entries.len(), "");
            return;
        }
        let place = mapping.place();
        let dot = if place.is_empty() { "" } else { "." };
        for entry in &mapping.entries {
            self.add(format!("{place}{dot}{}", entry.key), 1, "");
        }
        for (name, what) in &mapping.others {
            self.add(format!("{place}{dot}{name}"), 0, what);
        }
    }

    pub(super) fn told(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter().map(|(key, (tensors, what))| {
            let what = match (tensors, what.as_str()) {
                (0, "") => "nothing".to_owned(),
                (0, _) => what,
                (1, _) => "a tensor".to_owned(),
                (tensors, _) => format!("{tensors} tensors"),
            };
            (key, format!("beside the network: {what}"))
        })
    }
}

/// The first keys of `keys` under which nothing at `chosen` is, with dots.
fn apart(keys: &[String], chosen: &[String]) -> String {
    let same = keys.iter().zip(chosen).take_while(|(a, b)| a == b).count();
    keys[..keys.len().min(same + 1)].join(".")
}
