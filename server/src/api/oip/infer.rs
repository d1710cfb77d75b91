//! `POST /v2/models/{name}/infer`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::contract::outputs;
use super::input::Images;
use super::outputs::{InferenceResponse, answer, write};
use super::request::{Asked, InferenceRequest, Offer, read};
use super::{model_of, version_of};
use crate::api::view::with_output;
use crate::api::{App, Binary, blocking};
use crate::engine::{Image, Need};
use crate::http::body::Held;
use crate::http::error_format::InferenceError;
use crate::http::inflate::inflated;
use crate::http::urgency::urgency;
use crate::http::{Problem, Provenance};
use crate::models::Model;
use crate::observe::Timings;
use detcon_inference::{InputTensor, Output};

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
    let (headers, Held { bytes, share }) = inflated(request, &app.limits).await?;
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
        read(&headers, bytes, offer)
    })
    .await?;
    let side = model.manifest().preprocess.size();
    let seen = match &images {
        Images::Encoded(_) => [side, side],
        Images::Tensors(tensors) => tensors.first().map_or([0, 0], InputTensor::size),
    };
    let seen = (images.len(), seen);
    let need = asked.iter().fold(Need::default(), |need, asked| {
        with_output(need, (&model, asked.output), seen, asked.form)
    });
    let work = app.pipeline.begin(urgency.within(timeout, lane));
    let afforded = work.afford(need)?;
    let inputs = match images {
        Images::Encoded(images) => images.into_iter().map(Image::Encoded).collect(),
        Images::Tensors(images) => images.into_iter().map(Image::Ready).collect(),
    };
    let wanted: Vec<Output> = asked.iter().map(|asked| asked.output).collect();
    let found = work.run(&model, inputs, &wanted, &afforded).await?;
    drop(share); // the body is gone
    let first = wanted.first().copied().unwrap_or(Output::Embedding);
    let provenance = Provenance::of(&model, first);
    let bytes = found.iter().flatten().map(|it| size_of_val(it.values()));
    let (bytes, name) = (bytes.sum(), provenance.model.clone());
    let write = move || write(&name, id.as_deref(), &asked, found);
    let (json, written) = work.write(bytes, write).await??;
    let response = answer(json, written.holding(afforded.into_share()));
    Ok(provenance.with_headers(response))
}
