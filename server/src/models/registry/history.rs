//! When each model was last served and last taken off, so that what was noticed before is not done after: a reload that
//! was under way does not undo a removal, nor a removal that was due an upload.

use std::collections::BTreeMap;

/// A moment between two decisions about models. The first of all is before any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// The last decisions about each model.
#[derive(Debug, Default)]
pub(super) struct History {
    now: Moment,
    served: BTreeMap<String, Moment>,
    removed: BTreeMap<String, Moment>,
}

impl History {
    /// After all decisions until now.
    pub(super) const fn now(&self) -> Moment {
        self.now
    }

    /// Notes that a model is served from now on.
    pub(super) fn serve(&mut self, name: &str) {
        self.now.0 += 1;
        self.served.insert(name.to_owned(), self.now);
    }

    /// Notes that a model was taken off.
    pub(super) fn remove(&mut self, name: &str) {
        self.now.0 += 1;
        self.removed.insert(name.to_owned(), self.now);
    }

    /// Whether a model began to be served after a moment.
    pub(super) fn served_since(&self, name: &str, moment: Moment) -> bool {
        self.served.get(name).is_some_and(|&served| served > moment)
    }

    /// Whether a model was taken off after a moment.
    pub(super) fn removed_since(&self, name: &str, moment: Moment) -> bool {
        let removed = self.removed.get(name);
        removed.is_some_and(|&removed| removed > moment)
    }
}
