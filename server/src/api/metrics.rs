//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use detcon_inference::Output;

use super::App;
use crate::engine::Lane;
use crate::http::{Problem, encode};
use crate::models::{Model, State as ModelState};
use crate::observe::{ModelSample, Models, ServedSample};

/// What Prometheus takes the text for.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Gives the server's metrics.
///
/// The text is `OpenMetrics`, which Prometheus reads. `docs/operations.md` lists what is in it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, description = "Every metric.", body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")),
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let models = app.registry.states().into_iter();
    let models = Models {
        states: &ModelState::NAMES,
        models: models.map(|(name, state)| sample(name, &state)).collect(),
    };
    let text = app.metrics.text(|registry| models.register(registry));
    let text = text.map_err(encode::unwritten)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

fn sample(name: String, state: &ModelState) -> ModelSample {
    let served = |model: &Model| ServedSample {
        precision: model.precision(Output::Embedding).to_string(),
        digest: model.digest().to_owned(),
        queued: model.batcher().queued(),
        capacity: model.batcher().capacity(Lane::Interactive),
        stats: Arc::clone(model.batcher().stats()),
    };
    ModelSample {
        name,
        state: state.name(),
        served: match state {
            ModelState::Ready(model) => Some(served(model)),
            ModelState::Loading | ModelState::Refused(_) => None,
        },
    }
}
