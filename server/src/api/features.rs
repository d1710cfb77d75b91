//! `POST /v1/features`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_inference::Output;
use safetensors::tensor::Dtype;
use serde::Serialize;

use super::view::view;
use super::{App, Binary, ImagePart};
use crate::http::encode;
use crate::http::parameters::{MODEL, PRIORITY, SIZE, STAGE, TIMEOUT_MS, VIEW, document_fields};
use crate::http::urgency::{urgency, urgency_with};
use crate::http::{
    BodyFormat, Mask, Problem, ProblemBody, Provenance, Representation, RequestFields, contents,
};

const FIELDS: RequestFields = RequestFields {
    fields: &[MODEL, STAGE, VIEW, SIZE, TIMEOUT_MS, PRIORITY],
    images: Some(1),
    mask: Mask::Unknown,
};

document_fields!(Documented, FIELDS);

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
    let format = BodyFormat::of(request.headers())?;
    let representation = Representation::negotiate(request.headers(), &OFFERS)?;
    let urgency = urgency(request.headers())?;
    let mut contents = contents(format, request, FIELDS, &app.limits).await?;
    let urgency = urgency_with(urgency, &mut contents.fields)?;
    let named: Option<String> = contents.fields.take(MODEL)?;
    let model = app.registry.find(named.as_deref())?;
    let stage = contents.fields.take(STAGE)?.unwrap_or(Stage::C5);
    let view = view(&mut contents.fields, model.manifest().preprocess)?;
    model.gives(Output::Features(stage))?;
    let work = app.pipeline.begin(urgency);
    let place = work.place(&*model)?;
    let image = work.decode(contents.image()?).await?;
    let input = work.compute(move || view.input(&image)).await?;
    let features = work.features(&*model, place, input, stage).await?;
    let provenance = Provenance::of(&model, Output::Features(stage));
    let response = encode(&provenance, stage, features, representation)?;
    Ok(provenance.with_headers(response))
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
