//! `POST /v1/features`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use safetensors::tensor::Dtype;
use serde::Serialize;

use super::{Binary, ImagePart};
use crate::accept::Representation;
use crate::app::App;
use crate::demand::{Demand, Lane};
use crate::encode;
use crate::engine::Output;
use crate::input::{self, Form, Mask, Shape};
use crate::problem::{Problem, ProblemBody};
use crate::provenance::Provenance;
use crate::view::View;

const SHAPE: Shape = Shape {
    fields: &[
        "model",
        "stage",
        View::FIELDS[0],
        View::FIELDS[1],
        Demand::FIELDS[0],
        Demand::FIELDS[1],
    ],
    images: Some(1),
    mask: Mask::Unknown,
};

/// What a dense map can be sent as, in the server's order of preference.
const OFFERS: [Representation; 3] = [
    Representation::Npy,
    Representation::Safetensors,
    Representation::Json,
];

/// A dense map of features.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FeatureMap<'a> {
    /// The model that made it.
    model: &'a str,
    /// SHA-256 of that model's manifest.
    model_digest: &'a str,
    /// `c2`, `c3`, `c4` or `c5`.
    stage: &'static str,
    /// `[C, h, w]`.
    shape: &'a [usize],
    /// base64 of the values in C order, little-endian float32.
    data: String,
}

/// Gives the dense features of a stage of an image.
///
/// Strides are 4, 8, 16 and 32 pixels for c2, c3, c4 and c5. `view=center` is upstream's evaluation crop at `size`;
/// `view=full` is the whole image with `size` for its shorter side. Answers are float32 `[C, h, w]`, in safetensors
/// under the key `features`.
#[utoipa::path(
    post,
    path = "/v1/features",
    tag = "features",
    params(
        ("model" = Option<String>, Query, description = "Name of the model; may be left out where one is served or a default is set."),
        ("stage" = Option<String>, Query, description = "c2, c3, c4 or c5 (default)."),
        ("view" = Option<String>, Query, description = "center (default) or full."),
        ("size" = Option<u32>, Query, description = "Side of the crop, or shorter side of the whole image, in pixels; by default the model's."),
        ("timeout_ms" = Option<u64>, Query, description = "How long the client waits, in milliseconds from the request's head; no longer than the server does for any."),
        ("priority" = Option<Lane>, Query, description = "interactive (default), or bulk for what may wait for those."),
        ("x-request-timeout" = Option<f64>, Header, description = "As timeout_ms, in seconds."),
        ("x-priority" = Option<Lane>, Header, description = "As priority."),
    ),
    request_body(content(
        (Binary = "image/*"),
        (Binary = "application/octet-stream"),
        (ImagePart = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The features.", headers(
            ("x-detcon-model-digest" = String, description = "SHA-256 of the manifest of the model that made it."),
            ("x-detcon-precision" = String, description = "What it was computed in: fp32, fp16 or int8."),
        ), content(
            (Binary = "application/x-npy"),
            (Binary = "application/safetensors"),
            (FeatureMap = "application/json"),
        )),
        (status = "4XX", description = "A request that cannot be answered.", body = ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "A server that cannot answer now.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn features(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let form = Form::of(request.headers())?;
    let representation = Representation::negotiate(request.headers(), &OFFERS)?;
    let demand = Demand::of(request.headers())?;
    let mut upload = input::upload(form, request, SHAPE, &app.limits).await?;
    let demand = demand.with(&mut upload.fields)?;
    let named: Option<String> = upload.fields.take("model")?;
    let model = app.registry.find(named.as_deref())?;
    let stage = upload.fields.take("stage")?.unwrap_or(Stage::C5);
    let view = View::take(&mut upload.fields, model.manifest().preprocess)?;
    let work = app.pipeline.begin(demand);
    let place = work.place(&model)?;
    let image = work.decode(upload.image()?).await?;
    let input = work.compute(move || view.input(&image)).await?;
    let features = work.features(&model, place, input, stage).await?;
    let provenance = Provenance::of(&model, Output::Features(stage));
    let response = encode(&provenance, stage, features, representation)?;
    Ok(provenance.sign(response))
}

fn encode(
    made_by: &Provenance,
    stage: Stage,
    features: Tensor,
    representation: Representation,
) -> Result<Response, Problem> {
    let shape = features.shape().to_vec();
    let bytes = match representation {
        Representation::Npy => encode::npy(
            "<f4",
            &shape,
            &encode::little_endian(features.into_values()),
        ),
        Representation::Safetensors => {
            let data = encode::little_endian(features.into_values());
            encode::safetensors(&[("features", Dtype::F32, &shape, &data)])?
        }
        Representation::Json | Representation::Png => encode::json(&FeatureMap {
            model: &made_by.model,
            model_digest: &made_by.digest,
            stage: stage.name(),
            shape: &shape,
            data: encode::base64(features.values()),
        })?,
    };
    Ok(encode::answer(representation, bytes))
}
