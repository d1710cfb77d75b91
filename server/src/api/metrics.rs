//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::encode;
use crate::observe::Models;
use crate::problem::Problem;

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
    let text = {
        let models = Models(app.registry.states());
        app.metrics.text(|registry| models.register(registry))
    }
    .map_err(encode::unwritten)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
