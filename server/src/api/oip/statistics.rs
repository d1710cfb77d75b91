//! `GET /v2/models/{name}/stats`: what a model has done, as Triton tells it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::{VERSION, model_of, version_of};
use crate::api::App;
use crate::http::Problem;
use crate::http::error_format::InferenceError;
use crate::models::Model;
use crate::observe::{Phase, Tally};

/// Statistics of models.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Statistics {
    /// One entry a model.
    model_stats: Vec<ModelStatistics>,
}

/// What a model has done since it was first loaded, for every protocol's requests.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelStatistics {
    /// Its name.
    name: String,
    /// Always `1`.
    version: &'static str,
    /// When the last request was answered, in milliseconds since 1970; 0 before the first.
    last_inference: u64,
    /// Images that its engine was given.
    inference_count: u64,
    /// Calls of its engine.
    execution_count: u64,
    /// Requests, and where their time went.
    inference_stats: InferenceStatistics,
    /// Calls by their number of images.
    batch_stats: Vec<BatchStatistics>,
}

/// Requests, and where their time went: each phase is that of the image that took longest.
#[derive(Serialize, utoipa::ToSchema)]
struct InferenceStatistics {
    /// Requests that were answered.
    success: Duration,
    /// Requests that were not.
    fail: Duration,
    /// Waiting for the engine.
    queue: Duration,
    /// Decoding and preprocessing.
    compute_input: Duration,
    /// In the engine.
    compute_infer: Duration,
    /// Writing the answer.
    compute_output: Duration,
    /// Always none: nothing is cached.
    cache_hit: Duration,
    /// Always none.
    cache_miss: Duration,
}

/// How often, and for how long in all.
#[derive(Default, Serialize, utoipa::ToSchema)]
struct Duration {
    /// How often.
    count: u64,
    /// For how long, in nanoseconds.
    ns: u64,
}

/// Calls of one number of images.
#[derive(Serialize, utoipa::ToSchema)]
struct BatchStatistics {
    /// Images in each.
    batch_size: usize,
    /// Always none: images are preprocessed before they are batched.
    compute_input: Duration,
    /// The calls.
    compute_infer: Duration,
    /// Always none.
    compute_output: Duration,
}

impl From<Tally> for Duration {
    fn from(Tally { count, nanos }: Tally) -> Self {
        Self { count, ns: nanos }
    }
}

impl ModelStatistics {
    fn of(model: &Model) -> Self {
        let stats = model.batcher().stats();
        let (requests, calls) = (stats.requests(), stats.calls_by_size());
        let phase = |phase| requests.phase(phase).into();
        let batch = |(&batch_size, &tally): (&usize, &Tally)| BatchStatistics {
            batch_size,
            compute_input: Duration::default(),
            compute_infer: tally.into(),
            compute_output: Duration::default(),
        };
        Self {
            name: model.manifest().name.to_string(),
            version: VERSION,
            last_inference: requests.last_millis,
            inference_count: calls
                .iter()
                .map(|(&images, calls)| images as u64 * calls.count)
                .sum(),
            execution_count: calls.values().map(|calls| calls.count).sum(),
            inference_stats: InferenceStatistics {
                success: requests.answered.into(),
                fail: requests.failed.into(),
                queue: phase(Phase::Queue),
                compute_input: phase(Phase::Decode),
                compute_infer: phase(Phase::Infer),
                compute_output: phase(Phase::Encode),
                cache_hit: Duration::default(),
                cache_miss: Duration::default(),
            },
            batch_stats: calls.iter().map(batch).collect(),
        }
    }
}

fn of_one(model: &Model) -> Json<Statistics> {
    Json(Statistics {
        model_stats: vec![ModelStatistics::of(model)],
    })
}

/// Tells what every model that is served has done.
#[utoipa::path(
    get,
    path = "/v2/models/stats",
    tag = "inference protocol",
    operation_id = "v2_all_statistics",
    responses((status = 200, description = "One entry a model.", body = Statistics)),
)]
pub(crate) async fn all_statistics(State(app): State<Arc<App>>) -> Json<Statistics> {
    let states = app.registry.states().into_iter();
    let ready = states.filter_map(|(_, state)| match state {
        crate::models::State::Ready(model) => Some(ModelStatistics::of(&model)),
        crate::models::State::Loading | crate::models::State::Refused(_) => None,
    });
    Json(Statistics {
        model_stats: ready.collect(),
    })
}

/// Tells what a model has done.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/stats",
    tag = "inference protocol",
    operation_id = "v2_statistics",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "One entry.", body = Statistics),
        (status = 404, description = "No such model.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn statistics(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Statistics>, Problem> {
    model_of(&app, name).map(|model| of_one(&model))
}

/// Tells what a version of a model has done.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/stats",
    tag = "inference protocol",
    operation_id = "v2_version_statistics",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("version" = String, Path, description = "Always 1."),
    ),
    responses(
        (status = 200, description = "One entry.", body = Statistics),
        (status = 404, description = "No such model or version.", body = InferenceError),
        (status = 503, description = "The model is loading or was refused.", body = InferenceError),
    ),
)]
pub(crate) async fn version_statistics(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Statistics>, Problem> {
    version_of(&app, place).map(|model| of_one(&model))
}
