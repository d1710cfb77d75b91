//! `GET /v1/imports` and `GET /v1/imports/{id}`: what became of uploads.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::App;
use crate::http::{Problem, ProblemBody};
use crate::models::ModelsError;
use crate::models::store::{Phase, Record};

/// Every upload since the server's start, the oldest first; of those that are over, the last hundred.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ImportList {
    /// Always `list`.
    object: &'static str,
    /// The uploads.
    data: Vec<Import>,
}

/// What became of an upload.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Import {
    /// What it is called.
    id: String,
    /// Always `import`.
    object: &'static str,
    /// Name of the model that it is to become.
    model: String,
    /// How far it has come.
    state: ImportState,
    /// Bytes that have arrived.
    received_bytes: u64,
    /// Bytes that the client said it would send, if it did.
    announced_bytes: Option<u64>,
    /// SHA-256 of the model's manifest, once it is stored.
    digest: Option<String>,
    /// Why nothing was stored, if it failed.
    reason: Option<String>,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum ImportState {
    /// Its bytes are arriving.
    Receiving,
    /// It waits for those before it.
    Queued,
    /// A model directory is being made of it.
    Converting,
    /// The directory is being checked.
    Verifying,
    /// The model is in the store.
    Done,
    /// Nothing was stored.
    Failed,
}

impl From<Record> for Import {
    fn from(record: Record) -> Self {
        let (state, digest, reason) = match record.phase {
            Phase::Receiving => (ImportState::Receiving, None, None),
            Phase::Queued => (ImportState::Queued, None, None),
            Phase::Converting => (ImportState::Converting, None, None),
            Phase::Verifying => (ImportState::Verifying, None, None),
            Phase::Done(digest) => (ImportState::Done, Some(digest), None),
            Phase::Failed(reason) => (ImportState::Failed, None, Some(reason)),
        };
        Self {
            id: record.id,
            object: "import",
            model: record.model,
            state,
            received_bytes: record.received,
            announced_bytes: record.announced,
            digest,
            reason,
        }
    }
}

/// Lists what became of uploads.
#[utoipa::path(
    get,
    path = "/v1/imports",
    operation_id = "list_imports",
    tag = "models",
    responses(
        (status = 200, description = "The uploads.", body = ImportList),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<ImportList>, Problem> {
    let records = app.store.imports()?.list().into_iter();
    Ok(Json(ImportList {
        object: "list",
        data: records.map(Import::from).collect(),
    }))
}

/// Tells what became of one upload.
#[utoipa::path(
    get,
    path = "/v1/imports/{id}",
    operation_id = "describe_import",
    tag = "models",
    params(("id" = String, Path, description = "What the upload is called, as `Location` said.")),
    responses(
        (status = 200, description = "The upload.", body = Import),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such upload.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Import>, Problem> {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    find(&app, &id).map(Json)
}

/// What became of an upload.
pub(super) fn find(app: &App, id: &str) -> Result<Import, Problem> {
    let record = app.store.imports()?.find(id);
    let unknown = || ModelsError::UnknownImport {
        id: id.chars().take(100).collect(),
    };
    Ok(record.map(Import::from).ok_or_else(unknown)?)
}
