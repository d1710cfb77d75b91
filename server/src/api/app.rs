//! What every handler can reach.

use std::sync::Arc;

use crate::engine::Pipeline;
use crate::http::Limits;
use crate::models::Registry;
use crate::models::store::Store;
use crate::observe::Metrics;

/// What every handler can reach.
#[derive(Debug)]
pub(crate) struct App {
    /// The models.
    pub(crate) registry: Arc<Registry>,
    /// Who works on requests.
    pub(crate) pipeline: Pipeline,
    /// What a request may hold.
    pub(crate) limits: Limits,
    /// Where models come from and go.
    pub(crate) store: Store,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
}
