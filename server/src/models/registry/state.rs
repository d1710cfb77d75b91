//! Where a model stands: loading, ready, or refused with the reason.

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
