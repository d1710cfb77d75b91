//! `GET /v2/models/{name}/config`: the model as Triton's configuration would have it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use detcon_inference::Output;
use serde::Serialize;
use serde_json::{Value, json};

use super::contract::{Datatype, Input, output_dims, outputs};
use super::{model_of, version_of};
use crate::api::App;
use crate::http::Problem;
use crate::http::error_format::InferenceError;
use crate::models::Model;

/// A model as Triton's configuration has it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelConfig {
    /// Its name.
    name: String,
    /// Always `onnxruntime_onnx`.
    platform: &'static str,
    /// Always `onnxruntime`.
    backend: &'static str,
    /// Which versions there are.
    #[schema(value_type = Object)]
    version_policy: Value,
    /// Most images of a request.
    max_batch_size: usize,
    /// What it takes; each is optional, since a request has one of them.
    input: Vec<ConfiguredInput>,
    /// What it gives.
    output: Vec<ConfiguredOutput>,
    /// Requests' images share calls of the engine.
    #[schema(value_type = Object)]
    dynamic_batching: Value,
}

/// An input.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ConfiguredInput {
    /// Its name.
    name: &'static str,
    /// Type of its elements.
    data_type: &'static str,
    /// Order of its axes: `FORMAT_NONE`, `FORMAT_NHWC` or `FORMAT_NCHW`.
    format: &'static str,
    /// Its shape without the images' axis; -1 is any length.
    dims: &'static [i64],
    /// Always true.
    optional: bool,
}

/// An output.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ConfiguredOutput {
    /// Its name.
    name: &'static str,
    /// Type of its elements.
    data_type: &'static str,
    /// Its shape without the images' axis; -1 is any length.
    dims: Vec<i64>,
}

impl ModelConfig {
    fn of(app: &App, model: &Model) -> Self {
        let input = |input: Input| ConfiguredInput {
            name: input.name(),
            data_type: input.datatype().configured(),
            format: match input {
                Input::Image => "FORMAT_NONE",
                Input::Pixels => "FORMAT_NHWC",
                Input::Normalized => "FORMAT_NCHW",
            },
            dims: input.dims(),
            optional: true,
        };
        let output = |output: Output| ConfiguredOutput {
            name: output.name(),
            data_type: Datatype::Fp32.configured(),
            dims: output_dims(model, output),
        };
        Self {
            name: model.manifest().name.to_string(),
            platform: "onnxruntime_onnx",
            backend: "onnxruntime",
            version_policy: json!({"latest": {"num_versions": 1}}),
            max_batch_size: app.limits.images,
            input: Input::ALL.map(input).into(),
            output: outputs(model).into_iter().map(output).collect(),
            dynamic_batching: json!({}),
        }
    }
}

/// Gives a model's configuration.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/config",
    tag = "inference protocol",
    operation_id = "v2_config",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "The configuration.", body = ModelConfig),
        (status = 404, description = "No such model.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn config(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelConfig>, Problem> {
    Ok(Json(ModelConfig::of(&app, &*model_of(&app, name)?)))
}

/// Gives the configuration of a version.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/config",
    tag = "inference protocol",
    operation_id = "v2_version_config",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("version" = String, Path, description = "Always 1."),
    ),
    responses(
        (status = 200, description = "The configuration.", body = ModelConfig),
        (status = 404, description = "No such model or version.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn config_of_version(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ModelConfig>, Problem> {
    Ok(Json(ModelConfig::of(&app, &*version_of(&app, place)?)))
}
