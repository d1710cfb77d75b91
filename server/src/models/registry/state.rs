//! Where a model stands: loading, ready, or refused with the reason; and where a load of it does.

use std::sync::Arc;

use crate::models::model::Model;

/// Where a model stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Being checked.
    Loading,
    /// Served.
    Ready(Arc<Model>),
    /// Not served, for this reason.
    Refused(Arc<str>),
}

impl State {
    /// Name of [`State::Loading`].
    const LOADING: &str = "loading";
    /// Name of [`State::Ready`].
    const READY: &str = "ready";
    /// Name of [`State::Refused`].
    const REFUSED: &str = "refused";

    /// Every name of a state.
    pub(crate) const NAMES: [&str; 3] = [Self::LOADING, Self::READY, Self::REFUSED];

    /// Its name in metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Loading => Self::LOADING,
            Self::Ready(_) => Self::READY,
            Self::Refused(_) => Self::REFUSED,
        }
    }
}

/// What a model is that begins to be loaded.
pub(super) enum Begun {
    /// It was taken off since it was noticed, and is not loaded.
    TakenOff,
    /// None of its name is served.
    First,
    /// This one is.
    Successor(Arc<Model>),
}

/// What came of loading a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// It is decided about.
    Decided,
    /// Something of it could not be read this time: another time it may.
    Unread,
}
