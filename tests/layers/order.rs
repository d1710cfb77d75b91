//! An order from top to bottom, and what is wrong with those that stand in it.

use std::collections::BTreeSet;

/// Names from top to bottom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers<'a> {
    /// Of what: a folder of modules such as `core/src` or `core/src/image`, or the workspace's `Cargo.toml`.
    pub(crate) of: &'a str,
    /// The names, with spaces between them.
    pub(crate) names: &'a str,
    /// What may use something above it all the same.
    pub(crate) exceptions: &'a [Exception<'a>],
}

/// A use upwards that stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exception<'a> {
    /// Who uses.
    pub(crate) user: &'a str,
    /// What stands above it.
    pub(crate) uses: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
}

/// Layers against what is there.
pub(crate) struct Order<'a> {
    of: &'a str,
    names: Vec<&'a str>,
    exceptions: &'a [Exception<'a>],
    /// Which of the exceptions something needed.
    needed: BTreeSet<usize>,
}

impl<'a> Order<'a> {
    pub(crate) fn new(layers: &Layers<'a>) -> Self {
        Self {
            of: layers.of,
            names: layers.names.split_whitespace().collect(),
            exceptions: layers.exceptions,
            needed: BTreeSet::new(),
        }
    }

    /// What is there and in no list, and names in the list that nothing has or that stand there twice.
    pub(crate) fn strangers(&self, there: &BTreeSet<&str>) -> Vec<String> {
        let (of, names) = (self.of, &self.names);
        let unlisted = there.iter().filter(|name| !names.contains(name));
        let gone = names.iter().filter(|name| !there.contains(*name));
        let twice = (names.iter().enumerate()).filter(|&(at, name)| names[..at].contains(name));
        let mut faults: Vec<String> = unlisted
            .map(|name| format!("{of}: `{name}` is in no list: say where it stands"))
            .collect();
        faults.extend(gone.map(|name| format!("{of}: `{name}` is listed and gone")));
        faults.extend(twice.map(|(_, name)| format!("{of}: `{name}` is listed twice")));
        faults
    }

    /// What is wrong with a use, at this place, of a layer by another.
    pub(crate) fn fault(&mut self, place: &str, layer: &str, used: &str) -> Option<String> {
        let rank = |name: &str| self.names.iter().position(|&known| known == name);
        if rank(used)? >= rank(layer)? {
            return None;
        }
        let mut exceptions = self.exceptions.iter();
        let exception = exceptions.position(|it| it.user == layer && it.uses == used);
        self.needed.extend(exception);
        let of = self.of;
        exception
            .is_none()
            .then(|| format!("{place}: `{layer}` uses `{used}`, which stands above it in {of}"))
    }

    /// Exceptions that no use has needed.
    pub(crate) fn idle(&self) -> Vec<String> {
        let exceptions = self.exceptions.iter().enumerate();
        let idle = exceptions.filter(|(at, _)| !self.needed.contains(at));
        idle.map(|(_, Exception { user, uses, reason })| {
            format!(
                "{}: `{user}` does not use `{uses}` any more ({reason})",
                self.of
            )
        })
        .collect()
    }
}
