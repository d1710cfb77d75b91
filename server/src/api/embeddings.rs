//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use detcon_core::checkpoint::Tensor;
use detcon_inference::Output;
use serde::Deserialize;

use super::view::with_output;
use super::{App, Binary};
use crate::engine::{Form, Image, Lane, Need};
use crate::http::contents::{EMBEDDINGS, embeddings};
use crate::http::encode::{self, EmbeddingList};
use crate::http::json::{EmbeddingsRequest, EncodingFormat};
use crate::http::parameters::document_fields;
use crate::http::{BodyFormat, Problem, ProblemBody, Provenance, Representation, invalid};

document_fields!(Documented, EMBEDDINGS);

/// Embeds images.
///
/// The vector is the spatial mean of the network's last stage, as the published code computes it, or divided by its
/// length with `normalize=true`. Send one image as the body, several as parts called `image` (fields may be parts
/// too), or JSON in OpenAI's shape, which alone has `encoding_format`, `dimensions` and `user`. EXIF orientation is
/// applied; the image is cropped and resized as upstream evaluates.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "embeddings",
    params(Documented),
    request_body(content(
        (Binary = "image/*"),
        (Binary = "application/octet-stream"),
        (ImageParts = "multipart/form-data"),
        (EmbeddingsRequest = "application/json"),
    )),
    responses(
        (status = 200, description = "One embedding an image, in order.", headers(
            ("x-detcon-model-digest" = String, description = "SHA-256 of the manifest of the model that made it."),
            ("x-detcon-precision" = String, description = "What it was computed in: fp32, fp16 or int8."),
        ), content(
            (EmbeddingList = "application/json"),
            (Binary = "application/x-npy"),
            (Binary = "application/safetensors"),
        )),
        (status = 400, description = "A request that cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 406, description = "Nothing that the client accepts.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time, or there was no answer in the time that the client gave.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "A body, an image or a number of images beyond the limits.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "A Content-Type that is missing or not read here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not an image, or one that is damaged or of a kind that is not read.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server's fault; its log says why.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "At its limit, or the model is loading (Retry-After says when to come back), refused or gone with the server.", headers(("retry-after" = u64, description = "Seconds after which to try again, where that may help.")), body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "No answer in time.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn embed(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let format = BodyFormat::of(request.headers())?;
    let representation = Representation::negotiate(request.headers(), &encode::EMBEDDINGS)?;
    let asked = embeddings(format, request, &app.limits).await?;
    let model = app.registry.find(asked.model.as_deref())?;
    let size = model.manifest().embedding_size;
    if let Some(dimensions) = asked.dimensions.filter(|&dimensions| dimensions != size) {
        let detail =
            format!("this model's vectors have {size} values, not {dimensions}: leave it out");
        return Err(invalid("dimensions", detail));
    }
    let images: Vec<_> = asked.images.into_iter().map(Image::Encoded).collect();
    let work = app.pipeline.begin(asked.urgency);
    let form = form(representation, asked.encoding);
    let seen = (images.len(), [model.manifest().preprocess.size(); 2]);
    let output = Output::Embedding;
    let afforded = work.afford(with_output(Need::default(), (&model, output), seen, form))?;
    let found = work.run(&model, images, &[output], &afforded).await?;
    drop(asked.memory); // the body is gone
    let mut vectors: Vec<_> = found
        .into_iter()
        .flatten()
        .map(Tensor::into_values)
        .collect();
    if asked.normalize {
        for vector in &mut vectors {
            normalize(vector);
        }
    }
    let provenance = Provenance::of(&model, output);
    let (made_by, bytes) = (provenance.clone(), vectors.len() * size * size_of::<f32>());
    let write = move || encode::embeddings(&made_by, vectors, representation, asked.encoding);
    let written = work.write(bytes, write).await??;
    let response = encode::answer(representation, written.holding(afforded.into_share()));
    Ok(provenance.with_headers(response))
}

/// How the vectors are sent.
const fn form(representation: Representation, encoding: EncodingFormat) -> Form {
    match (representation, encoding) {
        (Representation::Npy | Representation::Safetensors, _) => Form::Binary,
        (Representation::Json | Representation::Png, EncodingFormat::Base64) => Form::Base64,
        (Representation::Json | Representation::Png, EncodingFormat::Float) => Form::Number,
    }
}

/// Parts of a multipart body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read part by part")]
pub(crate) struct ImageParts {
    /// Images, in order.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<Vec<u8>>,
    /// Name of the model.
    model: Option<String>,
    /// Whether vectors are divided by their length.
    normalize: Option<bool>,
    /// How long the client waits, in milliseconds.
    timeout_ms: Option<u64>,
    /// How soon the answer is needed.
    priority: Option<Lane>,
}

/// Divides by the Euclidean length. A vector of zeros stays as it is.
#[expect(clippy::cast_possible_truncation, reason = "embeddings are float32")]
fn normalize(embedding: &mut [f32]) {
    let length = embedding
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        for value in embedding {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_vectors_have_length_one() {
        let mut vector = [3.0, -4.0];
        normalize(&mut vector);
        assert!((vector[0] - 0.6).abs() < 1e-7 && (vector[1] + 0.8).abs() < 1e-7);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert!(zero.iter().all(|value| value.abs() < f32::EPSILON));
    }
}
