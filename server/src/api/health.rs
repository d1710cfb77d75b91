//! `/livez` and `/readyz`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::App;
use crate::models::State as ModelsState;

/// Whether the server can answer, and each model's state.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    /// Whether every model is decided about and at least one is served.
    ready: bool,
    /// Each model's state.
    models: BTreeMap<String, ModelState>,
}

/// Where a model stands.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum ModelState {
    /// Being checked.
    Loading,
    /// Served.
    Ready,
    /// Not served; `/v1/models` says why.
    Refused,
}

/// Says that the process runs.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "The process runs.", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Says whether requests can be answered: every model has passed or failed its self-check and a warm-up, and at
/// least one has passed.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Requests can be answered.", body = Readiness),
        (status = 503, description = "Models are still loading, none could be loaded, or the server is shutting down.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Readiness>) {
    let ready = app.registry.is_ready() && !app.registry.is_closing();
    let state = |state| match state {
        ModelsState::Loading => ModelState::Loading,
        ModelsState::Ready(_) => ModelState::Ready,
        ModelsState::Refused(_) => ModelState::Refused,
    };
    let models = app
        .registry
        .states()
        .into_iter()
        .map(|(name, it)| (name, state(it)))
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, models }))
}
