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
use crate::demand::Demand;
use crate::encode;
use crate::engine::Output;
use crate::input::parameters::{MODEL, PRIORITY, SIZE, STAGE, TIMEOUT_MS, VIEW};
use crate::input::{self, Form, Mask, Shape, document_fields};
use crate::problem::{Problem, ProblemBody};
use crate::provenance::Provenance;
use crate::view::View;

const SHAPE: Shape = Shape {
    fields: &[MODEL, STAGE, VIEW, SIZE, TIMEOUT_MS, PRIORITY],
    images: Some(1),
    mask: Mask::Unknown,
};

document_fields!(Documented, SHAPE);

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
    params(Documented),
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
    let named: Option<String> = upload.fields.take(MODEL)?;
    let model = app.registry.find(named.as_deref())?;
    let stage = upload.fields.take(STAGE)?.unwrap_or(Stage::C5);
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
