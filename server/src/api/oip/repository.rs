//! `/v2/repository`: the models of the store, and which of them are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{VERSION, object};
use crate::api::{App, blocking, uploads};
use crate::http::error_format::InferenceError;
use crate::http::{Limits, Problem, body};
use crate::models::State as Served;

/// Longest body of a request here: a few words.
const MAX_BODY: usize = 64 << 10;

/// Which models are asked for.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexRequest {
    /// Whether to list those alone that are served.
    ready: Option<bool>,
}

/// A model of the store.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct IndexEntry {
    /// Its name.
    name: String,
    /// Always `1`.
    version: &'static str,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it is unavailable.
    reason: String,
}

/// What Triton's clients may send with a request to load or unload.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepositoryRequest {
    /// How to.
    #[expect(dead_code, reason = "read for what it must not hold")]
    parameters: Option<RepositoryParameters>,
}

/// How to load or unload.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepositoryParameters {
    /// Of no effect: no model has others that depend on it.
    #[expect(dead_code, reason = "of no effect")]
    unload_dependents: Option<bool>,
}

/// Lists the models.
#[utoipa::path(
    post,
    path = "/v2/repository/index",
    tag = "inference protocol",
    operation_id = "v2_index",
    request_body = Option<IndexRequest>,
    responses(
        (status = 200, description = "The models.", body = Vec<IndexEntry>),
        (status = 400, description = "A body that cannot be read.", body = InferenceError),
        (status = 500, description = "The server failed.", body = InferenceError),
    ),
)]
pub(crate) async fn index(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<Json<Vec<IndexEntry>>, Problem> {
    let IndexRequest { ready } = read(&app, body).await?;
    let mut states: BTreeMap<String, Option<Served>> = unserved(&app).await?;
    let served = app.registry.states().into_iter();
    states.extend(served.map(|(name, state)| (name, Some(state))));
    let entries = states.into_iter().map(|(name, state)| entry(name, state));
    let wanted = |entry: &IndexEntry| ready != Some(true) || entry.state == "READY";
    Ok(Json(entries.filter(wanted).collect()))
}

/// Every model in the store, as one that was unloaded. None where the store cannot be read: what is served is known.
async fn unserved(app: &Arc<App>) -> Result<BTreeMap<String, Option<Served>>, Problem> {
    let app = Arc::clone(app);
    let names = blocking(move || Ok(app.store.names())).await?;
    let names = names.inspect_err(|error| tracing::warn!(%error, "the store cannot be listed"));
    let names = names.unwrap_or_default().into_iter();
    Ok(names.map(|name| (name, None)).collect())
}

fn entry(name: String, state: Option<Served>) -> IndexEntry {
    let (state, reason) = match state {
        Some(Served::Loading) => ("LOADING", String::new()),
        Some(Served::Ready(_)) => ("READY", String::new()),
        Some(Served::Refused(reason)) => ("UNAVAILABLE", reason.to_string()),
        None => ("UNAVAILABLE", "unloaded".to_owned()),
    };
    IndexEntry {
        name,
        version: VERSION,
        state,
        reason,
    }
}

/// Serves a model that is in the store, as `POST /v1/models/{name}/load` does.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{name}/load",
    tag = "inference protocol",
    operation_id = "v2_load",
    params(("name" = String, Path, description = "Name of the model.")),
    request_body = Option<RepositoryRequest>,
    responses(
        (status = 200, description = "The model is served."),
        (status = 400, description = "The name is wrong, or the body asks for what there is not.", body = InferenceError),
        (status = 403, description = "Uploads are off.", body = InferenceError),
        (status = 404, description = "No such model in the store.", body = InferenceError),
        (status = 500, description = "The server failed.", body = InferenceError),
        (status = 503, description = "The model was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn load(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<StatusCode, Problem> {
    parameters(&app, body).await?;
    uploads::load(State(app), name)
        .await
        .map(|_| StatusCode::OK)
}

/// Serves a model no longer, as `POST /v1/models/{name}/unload` does.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{name}/unload",
    tag = "inference protocol",
    operation_id = "v2_unload",
    params(("name" = String, Path, description = "Name of the model.")),
    request_body = Option<RepositoryRequest>,
    responses(
        (status = 200, description = "The model is not served."),
        (status = 400, description = "The name is wrong, or the body asks for what there is not.", body = InferenceError),
        (status = 403, description = "Uploads are off.", body = InferenceError),
        (status = 404, description = "No such model in the store.", body = InferenceError),
        (status = 500, description = "The server failed.", body = InferenceError),
    ),
)]
pub(crate) async fn unload(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<StatusCode, Problem> {
    parameters(&app, body).await?;
    uploads::unload(State(app), name)
        .await
        .map(|_| StatusCode::OK)
}

async fn parameters(app: &App, body: Body) -> Result<(), Problem> {
    read::<RepositoryRequest>(app, body).await.map(drop)
}

/// A body, which may be empty or null.
async fn read<T: Default + for<'a> Deserialize<'a>>(app: &App, body: Body) -> Result<T, Problem> {
    let limits = Limits {
        bytes: MAX_BODY.min(app.limits.bytes),
        ..app.limits.clone()
    };
    let bytes = body::read(&HeaderMap::new(), body, &limits).await?.bytes;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    Ok(object::<Option<T>>(&bytes)?.unwrap_or_default())
}
