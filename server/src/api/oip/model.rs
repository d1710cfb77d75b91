//! `/v2/models/{name}` and `/v2/models/{name}/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;

use super::contract::{Input, TensorMetadata, outputs};
use super::{VERSION, model_of, version_of};
use crate::api::App;
use crate::http::Problem;
use crate::http::error_format::InferenceError;
use crate::models::Model;

/// A model.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelMetadata {
    /// Its name.
    name: String,
    /// Always `1`.
    #[schema(value_type = Vec<String>)]
    versions: [&'static str; 1],
    /// Always `onnxruntime_onnx`.
    platform: &'static str,
    /// What it takes: one of these a request.
    inputs: Vec<TensorMetadata>,
    /// What it gives: what is asked for, and unasked the first.
    outputs: Vec<TensorMetadata>,
}

impl ModelMetadata {
    fn of(model: &Model) -> Self {
        let outputs = outputs(model).into_iter();
        Self {
            name: model.manifest().name.to_string(),
            versions: [VERSION],
            platform: "onnxruntime_onnx",
            inputs: Input::ALL.map(TensorMetadata::of_input).into(),
            outputs: outputs
                .map(|output| TensorMetadata::of_output(model, output))
                .collect(),
        }
    }
}

/// Describes a model.
#[utoipa::path(
    get,
    path = "/v2/models/{name}",
    tag = "inference protocol",
    operation_id = "v2_model",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "Its inputs and outputs.", body = ModelMetadata),
        (status = 404, description = "No such model.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn metadata(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelMetadata>, Problem> {
    Ok(Json(ModelMetadata::of(&*model_of(&app, name)?)))
}

/// Describes a version of a model.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}",
    tag = "inference protocol",
    operation_id = "v2_model_version",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("version" = String, Path, description = "Always 1."),
    ),
    responses(
        (status = 200, description = "Its inputs and outputs.", body = ModelMetadata),
        (status = 404, description = "No such model or version.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn metadata_of_version(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ModelMetadata>, Problem> {
    Ok(Json(ModelMetadata::of(&*version_of(&app, place)?)))
}

/// Says whether a model is served.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/ready",
    tag = "inference protocol",
    operation_id = "v2_model_ready",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "It is."),
        (status = 404, description = "No such model.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    model_of(&app, name).map(|_| StatusCode::OK)
}

/// Says whether a version of a model is served.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/ready",
    tag = "inference protocol",
    operation_id = "v2_model_version_ready",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("version" = String, Path, description = "Always 1."),
    ),
    responses(
        (status = 200, description = "It is."),
        (status = 404, description = "No such model or version.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn version_ready(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    version_of(&app, place).map(|_| StatusCode::OK)
}
