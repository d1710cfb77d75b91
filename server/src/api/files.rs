//! `GET /v1/models/{name}/files` and `GET /v1/models/{name}/files/{path}`: the checkpoint itself, whole or in parts.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use detcon_core::model::ModelName;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::conditional::{Part, is_unchanged, part};
use super::{App, Binary, blocking};
use crate::http::{Problem, ProblemBody};
use crate::models::ModelsError;
use crate::models::store::{Pinned, PinnedFile};

/// Read at a time.
const CHUNK: usize = 256 << 10;

/// A model's files.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FileList {
    /// Always `list`.
    object: &'static str,
    /// Name of the model.
    model: String,
    /// SHA-256 of its manifest, which names every file's digest.
    digest: String,
    /// The files, the manifest first.
    data: Vec<ListedFile>,
}

/// A file of a model.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ListedFile {
    /// Its name, as the last part of its address.
    path: String,
    /// Length.
    bytes: u64,
    /// SHA-256, which is its `ETag` too.
    sha256: String,
}

/// Lists a model's files.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/files",
    operation_id = "list_files",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "The files.", body = FileList),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<FileList>, Problem> {
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let model = name.clone();
    blocking(move || {
        let pinned = pin(&app, &name)?;
        let file = |(path, entry): (&str, &detcon_core::model::FileEntry)| ListedFile {
            path: path.to_owned(),
            bytes: entry.bytes,
            sha256: entry.sha256.clone(),
        };
        Ok(Json(FileList {
            object: "list",
            model,
            digest: pinned.digest().to_owned(),
            data: pinned.files().map(file).collect(),
        }))
    })
    .await
}

/// Gives a file of a model.
///
/// `ETag` is its SHA-256. `Range` with one range gives that part; `If-None-Match` and `If-Range` are heeded.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/files/{*path}",
    operation_id = "get_file",
    tag = "models",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("path" = String, Path, description = "Name of the file."),
        ("Range" = Option<String>, Header, description = "The part to send, as `bytes=FIRST-LAST`."),
        ("If-Range" = Option<String>, Header, description = "The `ETag` for which `Range` is meant; the whole of any other file is sent."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that the client has."),
    ),
    responses(
        (status = 200, description = "The file.", content((Binary = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = 206, description = "The part that was asked for.", content((Binary = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = 304, description = "The file is the one that the client has."),
        (status = 404, description = "No such model, or no such file of it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The file has no such part.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, path) = place.map_or_else(|_| Default::default(), |Path(place)| place);
    let content_type = content_type(&path);
    let found = blocking(move || Ok(pin(&app, &name)?.file(&path)?)).await?;
    send(found, content_type, &headers).await
}

/// The file, or the part of it that the request asks for.
pub(super) async fn send(
    found: PinnedFile,
    content_type: &'static str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let PinnedFile { file, entry } = found;
    let etag = format!("\"{}\"", entry.sha256);
    let known = [
        (header::ETAG, etag.clone()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()), // the same address may hold another model tomorrow
    ];
    if is_unchanged(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, known).into_response());
    }
    let Part {
        first,
        length,
        whole,
    } = part(headers, &etag, entry.bytes)?;
    let mut file = tokio::fs::File::from_std(file);
    file.seek(std::io::SeekFrom::Start(first))
        .await
        .map_err(|_| Problem::Internal)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK));
    let described = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let mut response = (known, described, body).into_response();
    if !whole {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = first + length - 1;
        let range = format!("bytes {first}-{last}/{}", entry.bytes);
        let range = range.parse().map_err(|_| Problem::Internal)?;
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    Ok(response)
}

/// What a file is, by its name.
pub(super) fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        _ => "application/octet-stream",
    }
}

/// The directory of the model of this name.
fn pin(app: &App, name: &str) -> Result<Pinned, Problem> {
    let name = ModelName::try_from(name.to_owned()).map_err(|_| ModelsError::unknown(name))?;
    Ok(app.store.pin(&name)?)
}
