//! `PUT` and `DELETE /v1/models/{name}`: models that come into the store and go.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_converter::haiku::Network;
use detcon_converter::import::ImportOptions;
use detcon_core::checkpoint::MovingAverages;
use detcon_core::digest::hex;
use detcon_core::model::ModelName;
use serde::Deserialize;

use super::imports::{self, Import};
use super::{App, Binary, blocking};
use crate::http::body::pieces;
use crate::http::{Problem, ProblemBody, invalid};
use crate::models::store::{Condition, Payload, Stored, Upload};

/// What the manifest says about where an upload comes from, if its client does not.
const ORIGIN: &str = "upload";
/// Longest text in a query.
const MAX_TEXT: usize = 500;
/// The digest of a body (RFC 9530).
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What is said about an upload. The fields from `network` on are for checkpoints alone.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadQuery {
    /// Whether a model of this name may be replaced.
    replace: bool,
    /// SHA-256 of the body, in hexadecimal digits.
    sha256: Option<String>,
    /// Which network to take where the checkpoint has two: `online` or `target`.
    #[param(value_type = Option<String>)]
    network: Option<NetworkField>,
    /// Where a checkpoint holds parameters only, start the moving averages at mean 0 and variance 1.
    fresh_moving_averages: Option<bool>,
    /// For PyTorch and safetensors files: take the network whose names start with this, and set others aside.
    strip_prefix: Option<String>,
    /// SPDX identifier of the weights' licence, for the manifest.
    license: Option<String>,
    /// Where the checkpoint comes from, for the manifest.
    source: Option<String>,
}

/// The two networks of an experiment.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NetworkField {
    Online,
    Target,
}

impl From<NetworkField> for Network {
    fn from(field: NetworkField) -> Self {
        match field {
            NetworkField::Online => Self::Online,
            NetworkField::Target => Self::Target,
        }
    }
}

/// Uploads a model: its directory, or a checkpoint to make one of.
///
/// A tar archive, which may be compressed by gzip, of a model directory's files is checked and stored before the
/// answer. A checkpoint as `detcon-convert import` reads it (published `.npy`, pickle, PyTorch, safetensors) is
/// converted after the answer, which names the place that tells how far it is. Nothing in a checkpoint is executed.
/// The model is served when it has passed its self-check, instead of the one that had its name; a request never
/// meets half of it.
#[utoipa::path(
    put,
    path = "/v1/models/{name}",
    tag = "models",
    params(
        ("name" = String, Path, description = "Name of the model."),
        UploadQuery,
        ("If-Match" = Option<String>, Header, description = "Digest, in quotes, of the model that may be replaced."),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:BASE64:` of the body."),
    ),
    request_body(
        description = "A tar archive of a model directory's files, or a checkpoint.",
        content((Binary = "application/x-tar"), (Binary = "application/gzip"), (Binary = "application/octet-stream")),
    ),
    responses(
        (status = 200, description = "The model took the place of the one there was.", body = Import),
        (status = 201, description = "The model is stored.", body = Import),
        (status = 202, description = "The checkpoint has arrived; `Location` tells what becomes of it.", body = Import),
        (status = 400, description = "The name, the query, a header or the body's end is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body stopped arriving.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "A model of this name exists.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The model is not the one that `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is longer than the server takes.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is neither an archive nor a checkpoint, or encoded.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "No model can be made of it, or its digest is another.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server failed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The store elsewhere did not take it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many uploads at once.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "The server's disk is full.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<UploadQuery>, QueryRejection>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Problem> {
    let writer = app.store.writer()?;
    let name = model_name(name)?;
    let Query(query) = query.map_err(|error| invalid("query", error.body_text()))?;
    let upload = Upload {
        name: name.clone(),
        condition: condition(&headers, &query)?,
        sha256: digest(&headers, &query)?,
        announced: announced(&headers),
        payload: payload(&headers, query)?,
    };
    let converts = matches!(upload.payload, Payload::Checkpoint(_));
    let accepted = writer
        .take(upload, pieces(&mut body, app.limits.timeout))
        .await?;
    if converts {
        let place = format!("/v1/imports/{}", accepted.id);
        return answer(&app, &accepted.id, StatusCode::ACCEPTED, place);
    }
    // The sender goes without a word only where the server ends.
    let stored = accepted.stored.await.map_err(|_| Problem::ShuttingDown)?;
    let status = match stored? {
        Stored::New => StatusCode::CREATED,
        Stored::Replaced => StatusCode::OK,
    };
    answer(&app, &accepted.id, status, format!("/v1/models/{name}"))
}

fn answer(app: &App, id: &str, status: StatusCode, place: String) -> Result<Response, Problem> {
    let import: Import = imports::find(app, id)?;
    Ok((status, [(header::LOCATION, place)], Json(import)).into_response())
}

/// Removes a model: requests that it has are answered, then it goes.
#[utoipa::path(
    delete,
    path = "/v1/models/{name}",
    tag = "models",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("If-Match" = Option<String>, Header, description = "Digest, in quotes, of the model that is meant."),
    ),
    responses(
        (status = 204, description = "The model is gone."),
        (status = 400, description = "The name or `If-Match` is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The model is not the one that `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server failed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The store elsewhere did not take it.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let writer = Arc::clone(app.store.writer()?);
    let name = model_name(name)?;
    let condition = if_match(&headers)?.unwrap_or(Condition::Any);
    blocking(move || Ok(writer.remove(&name, &condition)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Serves a model that is in the store.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/load",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 204, description = "The model is served."),
        (status = 400, description = "The name is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model in the store.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server failed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model was refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn load(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let writer = Arc::clone(app.store.writer()?);
    let name = model_name(name)?;
    let loaded = name.clone();
    blocking(move || Ok(writer.load(&loaded)?)).await?;
    app.registry.find(Some(name.as_str()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Serves a model no longer, and leaves it in the store: requests that it has are answered.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/unload",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 204, description = "The model is not served."),
        (status = 400, description = "The name is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Uploads are off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model in the store.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server failed.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn unload(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let writer = Arc::clone(app.store.writer()?);
    let name = model_name(name)?;
    blocking(move || Ok(writer.unload(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn model_name(name: Result<Path<String>, PathRejection>) -> Result<ModelName, Problem> {
    let name = name.map_or_else(|_| "\u{fffd}".to_owned(), |Path(name)| name); // bytes that are no text
    ModelName::try_from(name).map_err(|error| invalid("name", error.to_string()))
}

/// What must be in the store: what `If-Match` says, or else what `replace` does.
fn condition(headers: &HeaderMap, query: &UploadQuery) -> Result<Condition, Problem> {
    let otherwise = if query.replace {
        Condition::Any
    } else {
        Condition::Absent
    };
    Ok(if_match(headers)?.unwrap_or(otherwise))
}

fn if_match(headers: &HeaderMap) -> Result<Option<Condition>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Some(Condition::Present));
    }
    let digest = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let digest = digest.and_then(sha256);
    let digest =
        digest.ok_or_else(|| invalid("If-Match", "give a model's digest in quotes, or *"))?;
    Ok(Some(Condition::Digest(digest)))
}

/// The body's SHA-256, as the header or the query says it.
fn digest(headers: &HeaderMap, query: &UploadQuery) -> Result<Option<String>, Problem> {
    if let Some(text) = &query.sha256 {
        let digest = sha256(text).ok_or_else(|| invalid("sha256", "give 64 hexadecimal digits"));
        return digest.map(Some);
    }
    let Some(value) = headers.get(CONTENT_DIGEST) else {
        return Ok(None);
    };
    let mut digests = value.to_str().unwrap_or_default().split(',');
    let encoded = digests.find_map(|text| {
        let text = text.trim().strip_prefix("sha-256=:")?;
        text.strip_suffix(':')
    });
    let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let bytes = bytes.filter(|bytes| bytes.len() == 32);
    let bytes = bytes.ok_or_else(|| invalid("Content-Digest", "give sha-256=:BASE64:"))?;
    Ok(Some(hex(&bytes)))
}

/// A SHA-256 in lower-case hexadecimal digits.
fn sha256(text: &str) -> Option<String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// What the body is, by `Content-Type`.
fn payload(headers: &HeaderMap, query: UploadQuery) -> Result<Payload, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING) {
        return Err(Problem::UnsupportedEncoding {
            encoding: String::from_utf8_lossy(encoding.as_bytes())
                .chars()
                .take(100)
                .collect(),
        });
    }
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.ok_or(Problem::MissingContentType)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-tar" | "application/gzip" | "application/x-gzip" | "application/x-gtar" => {
            archive(&query)
        }
        "application/octet-stream" => checkpoint(query),
        _ => Err(Problem::UnsupportedMediaType {
            content_type: text.chars().take(200).collect(),
        }),
    }
}

fn archive(query: &UploadQuery) -> Result<Payload, Problem> {
    let given = [
        ("network", query.network.is_some()),
        (
            "fresh_moving_averages",
            query.fresh_moving_averages.is_some(),
        ),
        ("strip_prefix", query.strip_prefix.is_some()),
        ("license", query.license.is_some()),
        ("source", query.source.is_some()),
    ];
    match given.into_iter().find(|field| field.1) {
        Some((field, _)) => Err(invalid(
            field,
            "it is for checkpoints, and an archive holds a model that is made already",
        )),
        None => Ok(Payload::Archive),
    }
}

fn checkpoint(query: UploadQuery) -> Result<Payload, Problem> {
    let averages = match query.fresh_moving_averages {
        Some(true) => MovingAverages::Fresh,
        Some(false) | None => MovingAverages::Required,
    };
    let origin = short("source", query.source)?.unwrap_or_else(|| ORIGIN.to_owned());
    Ok(Payload::Checkpoint(Box::new(ImportOptions {
        license: short("license", query.license)?,
        network: query.network.map(Network::from).unwrap_or_default(),
        averages,
        strip_prefix: short("strip_prefix", query.strip_prefix)?,
        origin: Some(origin),
        ..ImportOptions::default()
    })))
}

fn short(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > MAX_TEXT => Err(invalid(
            field,
            format!("it is longer than {MAX_TEXT} bytes"),
        )),
        text => Ok(text),
    }
}
