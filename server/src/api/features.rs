//! `POST /v1/features`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_inference::Output;
use safetensors::tensor::Dtype;
use serde::Serialize;

use super::view::{view, with_features};
use super::{App, Binary, ImagePart};
use crate::engine::{Form, Need};
use crate::http::encode;
use crate::http::parameters::{MODEL, PRIORITY, SIZE, STAGE, TIMEOUT_MS, VIEW, document_fields};
use crate::http::urgency::{urgency, urgency_with};
use crate::http::{
    BodyFormat, Mask, Problem, ProblemBody, Provenance, Representation, RequestFields, Written,
    contents,
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
    #[schema(value_type = String)]
    data: encode::Base64<'a>,
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
    let need = {
        let model = Arc::clone(&model);
        move |size| {
            let need = Need::image(size);
            with_features(need, (&model, stage), (view, size), form(representation))
        }
    };
    let (image, afforded) = work.decode(contents.image()?, need).await?;
    drop(contents); // the body is gone
    let input = work.compute(move || view.input(&image)).await?;
    let asked = (input, stage);
    let features = work.features(&*model, place, asked, &afforded).await?;
    let provenance = Provenance::of(&model, Output::Features(stage));
    let (made_by, bytes) = (provenance.clone(), size_of_val(features.values()));
    let write = move || encode(&made_by, stage, features, representation);
    let written = work.write(bytes, write).await??;
    let response = encode::answer(representation, written.holding(afforded.into_share()));
    Ok(provenance.with_headers(response))
}

/// How the values are sent.
const fn form(representation: Representation) -> Form {
    match representation {
        Representation::Npy | Representation::Safetensors => Form::Binary,
        Representation::Json | Representation::Png => Form::Base64,
    }
}

fn encode(
    made_by: &Provenance,
    stage: Stage,
    features: Tensor,
    representation: Representation,
) -> Result<Written, Problem> {
    let shape = features.shape().to_vec();
    match representation {
        Representation::Npy => {
            let data = vec![encode::floats(features.into_values())];
            Ok(encode::npy("<f4", &shape, data))
        }
        Representation::Safetensors => {
            let data = vec![encode::floats(features.into_values())];
            encode::safetensors(vec![("features", Dtype::F32, &shape, data)])
        }
        Representation::Json | Representation::Png => encode::json(&FeatureMap {
            model: &made_by.model,
            model_digest: &made_by.digest,
            stage: stage.name(),
            shape: &shape,
            data: encode::Base64(features.values()),
        }),
    }
}
