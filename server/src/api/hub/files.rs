//! `GET /detcon/{name}/resolve/{revision}/{path}`: a file of a repository.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use super::{OWNER, Repository, said};
use crate::api::files::{content_type, send};
use crate::api::{App, Binary, blocking};
use crate::http::{Problem, ProblemBody};

/// The commit that a file is of.
const COMMIT_HEADER: HeaderName = HeaderName::from_static("x-repo-commit");
/// What the file's `ETag` is where the answer may come from elsewhere: clients prefer it.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
/// The file's length, likewise.
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// Gives a file of a repository, as the Hugging Face Hub does.
///
/// `ETag` is the file's SHA-256; `X-Repo-Commit` names the commit. Ranges and conditions are heeded.
#[utoipa::path(
    get,
    path = "/{owner}/{name}/resolve/{revision}/{*path}",
    operation_id = "hub_resolve",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Always `detcon`."),
        ("name" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
        ("path" = String, Path, description = "Name of the file."),
        ("Range" = Option<String>, Header, description = "The part to send, as `bytes=FIRST-LAST`."),
        ("If-Range" = Option<String>, Header, description = "The `ETag` for which `Range` is meant; the whole of any other file is sent."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that the client has."),
    ),
    responses(
        (status = 200, description = "The file.", content((Binary = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = 206, description = "The part that was asked for.", content((Binary = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = 304, description = "The file is the one that the client has."),
        (status = 404, description = "No such model, revision or file: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The file has no such part.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 4]>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    give(app, said(place), &headers).await
}

/// The same without the owner.
#[utoipa::path(
    get,
    path = "/{owner}/resolve/{revision}/{*path}",
    operation_id = "hub_resolve_unowned",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
        ("path" = String, Path, description = "Name of the file."),
    ),
    responses(
        (status = 200, description = "The file.", content((Binary = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = 404, description = "No such model, revision or file: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn resolve_unowned(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 3]>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [name, revision, path] = said(place);
    give(app, [OWNER.to_owned(), name, revision, path], &headers).await
}

async fn give(
    app: Arc<App>,
    [owner, name, revision, path]: [String; 4],
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let content_type = content_type(&path);
    let (found, commit) = blocking(move || {
        let repository = Repository::open(&app, &owner, &name, &revision)?;
        Ok((
            repository.pinned.file(&path)?,
            repository.commit().to_owned(),
        ))
    })
    .await?;
    let length = HeaderValue::from(found.entry.bytes);
    let mut response = send(found, content_type, headers).await?;
    let commit = HeaderValue::try_from(commit).map_err(|_| Problem::Internal)?;
    let headers = response.headers_mut();
    headers.insert(COMMIT_HEADER, commit);
    headers.insert(LINKED_SIZE, length);
    if let Some(etag) = headers.get(header::ETAG).cloned() {
        headers.insert(LINKED_ETAG, etag);
    }
    Ok(response)
}
