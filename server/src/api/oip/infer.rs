//! `POST /v2/models/{name}/infer`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::contract::outputs;
use super::input::Images;
use super::outputs::{InferenceResponse, Stacked, answer, bounded};
use super::request::{Asked, InferenceRequest, Offer, read};
use super::{model_of, version_of};
use crate::api::{App, Binary, blocking};
use crate::engine::Image;
use crate::http::error_format::InferenceError;
use crate::http::inflate::inflated;
use crate::http::urgency::urgency;
use crate::http::{Problem, Provenance};
use crate::models::Model;
use crate::observe::Timings;
use detcon_inference::Output;

/// Runs a model on images.
///
/// The input is `image` (BYTES, files of images, base64 in JSON), `pixels` (UINT8, RGB as preprocessing leaves it) or
/// `normalized` (FP32, the same as torch normalizes it). Outputs are `embedding`, which is sent unasked, and the
/// features `c2` to `c5`. With `Inference-Header-Content-Length` the body is JSON of that length and tensors as bytes;
/// where that is 0, it is one image. `Content-Encoding` may be gzip or deflate.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    tag = "inference protocol",
    operation_id = "v2_infer",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("Inference-Header-Content-Length" = Option<usize>, Header, description = "Length of the JSON in front of the tensors, in bytes."),
    ),
    request_body(content(
        (InferenceRequest = "application/json"),
        (Binary = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "The outputs.", headers(
            ("x-detcon-model-digest" = String, description = "SHA-256 of the manifest of the model that made it."),
            ("x-detcon-precision" = String, description = "What the first output was computed in: fp32, fp16 or int8."),
        ), content(
            (InferenceResponse = "application/json"),
            (Binary = "application/octet-stream"),
        )),
        (status = "4XX", description = "A request that cannot be answered.", body = InferenceError),
        (status = "5XX", description = "A server that cannot answer now.", body = InferenceError),
    ),
)]
pub(crate) async fn infer(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    run(&app, model_of(&app, name)?, request).await
}

/// Runs a version of a model on images.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/versions/{version}/infer",
    tag = "inference protocol",
    operation_id = "v2_version_infer",
    params(
        ("name" = String, Path, description = "Name of the model."),
        ("version" = String, Path, description = "Always 1."),
        ("Inference-Header-Content-Length" = Option<usize>, Header, description = "Length of the JSON in front of the tensors, in bytes."),
    ),
    request_body(content(
        (InferenceRequest = "application/json"),
        (Binary = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "The outputs.", content(
            (InferenceResponse = "application/json"),
            (Binary = "application/octet-stream"),
        )),
        (status = "4XX", description = "A request that cannot be answered.", body = InferenceError),
        (status = "5XX", description = "A server that cannot answer now.", body = InferenceError),
    ),
)]
pub(crate) async fn infer_version(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    run(&app, version_of(&app, place)?, request).await
}

async fn run(app: &App, model: Arc<Model>, request: Request) -> Result<Response, Problem> {
    Timings::current().of(model.batcher().stats()); // what is refused from here on is counted as this model's
    let urgency = urgency(request.headers())?;
    let (headers, body, memory) = inflated(request, &app.limits).await?;
    let (offered, limit) = (outputs(&model), app.limits.images);
    let normalization = model.manifest().spec.normalization();
    let Asked {
        id,
        timeout,
        lane,
        images,
        outputs: asked,
    } = blocking(move || {
        let offer = Offer {
            outputs: &offered,
            images: limit,
            normalization,
        };
        read(&headers, body, offer)
    })
    .await?;
    let side = model.manifest().preprocess.size() as usize;
    let seen = match &images {
        Images::Encoded(_) => [side, side],
        Images::Tensors(tensors) => tensors.first().map_or([0, 0], |it| [it.height, it.width]),
    };
    bounded(&model, &asked, images.len(), seen)?;
    let inputs = match images {
        Images::Encoded(images) => images.into_iter().map(Image::Encoded).collect(),
        Images::Tensors(images) => images.into_iter().map(Image::Ready).collect(),
    };
    let wanted: Vec<Output> = asked.iter().map(|asked| asked.output).collect();
    let work = app.pipeline.begin(urgency.within(timeout, lane));
    let found = work.run(&model, inputs, &wanted).await?;
    drop(memory); // the body is gone
    let found = found.into_iter().map(Stacked::new).collect();
    let first = wanted.first().copied().unwrap_or(Output::Embedding);
    let response = answer(model.manifest().name.as_str(), id.as_deref(), &asked, found)?;
    Ok(Provenance::of(&model, first).with_headers(response))
}
