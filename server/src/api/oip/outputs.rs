//! An answer as it is written: JSON, and the outputs that are wanted as bytes after it.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, BytesMut};
use detcon_core::checkpoint::Tensor;
use serde::Serialize;

use super::VERSION;
use super::binary::JSON_LENGTH;
use super::contract::Datatype;
use super::request::{AskedOutput, TensorForm};
use crate::http::encode::{json, little_endian};
use crate::http::{Problem, invalid};
use crate::models::Model;
use detcon_inference::Output;

/// Longest answer, in bytes as they are counted here: four a value, or [`JSON_BYTES`] where it is written out.
const MAX_ANSWER: usize = 256 << 20;
/// A value as JSON, with its comma, and what writing it takes.
const JSON_BYTES: usize = 16;

/// An answer.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct InferenceResponse<'a> {
    /// The model's name.
    model_name: &'a str,
    /// Always `1`.
    model_version: &'static str,
    /// As the request says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// In the order in which they were asked for.
    outputs: Vec<ResponseOutput<'a>>,
}

/// An output.
#[derive(Serialize, utoipa::ToSchema)]
struct ResponseOutput<'a> {
    /// Its name.
    name: &'static str,
    /// Always `FP32`.
    datatype: &'static str,
    /// Its shape, the images' axis first.
    shape: Vec<usize>,
    /// Of bytes after the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    /// Its values in row-major order.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

/// Of an output that is sent as bytes.
#[derive(Serialize, utoipa::ToSchema)]
struct BinarySize {
    /// Its bytes after the JSON.
    binary_data_size: usize,
}

/// An output for all of a request's images.
pub(super) struct Stacked {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Stacked {
    /// Of tensors of one shape.
    pub(super) fn new(images: Vec<Tensor>) -> Self {
        let mut shape = vec![images.len()];
        shape.extend(images.first().map_or(&[][..], Tensor::shape));
        let values = images.into_iter().flat_map(Tensor::into_values).collect();
        Self { shape, values }
    }
}

/// Refuses an answer that would be too long before it is computed. Images are of `height` and `width` as the network
/// sees them.
pub(super) fn bounded(
    model: &Model,
    asked: &[AskedOutput],
    images: usize,
    [height, width]: [usize; 2],
) -> Result<(), Problem> {
    let bytes = |asked: &AskedOutput| {
        let values = match asked.output {
            Output::Embedding => model.manifest().embedding_size,
            Output::Features(stage) => {
                let stride = model.manifest().spec.stride(stage);
                let cells = height.div_ceil(stride) * width.div_ceil(stride);
                cells.saturating_mul(model.manifest().spec.channels(stage))
            }
        };
        let each = match asked.form {
            TensorForm::Json => JSON_BYTES,
            TensorForm::Binary => size_of::<f32>(),
        };
        values.saturating_mul(each).saturating_mul(images)
    };
    let all = asked.iter().map(bytes).fold(0, usize::saturating_add);
    if all <= MAX_ANSWER {
        return Ok(());
    }
    let detail = format!(
        "they would take {all} bytes, and an answer has {MAX_ANSWER} at most: send fewer images, ask for fewer \
         outputs, or ask for binary data, which takes a quarter"
    );
    Err(invalid("outputs", detail))
}

/// The answer with outputs in the order in which they were asked for.
pub(super) fn answer(
    model: &str,
    id: Option<&str>,
    asked: &[AskedOutput],
    outputs: Vec<Stacked>,
) -> Result<Response, Problem> {
    let described = asked.iter().zip(&outputs).map(|(asked, stacked)| {
        let size = size_of_val(stacked.values.as_slice());
        let (parameters, data) = match asked.form {
            TensorForm::Json => (None, Some(&*stacked.values)),
            TensorForm::Binary => (
                Some(BinarySize {
                    binary_data_size: size,
                }),
                None,
            ),
        };
        ResponseOutput {
            name: asked.output.name(),
            datatype: Datatype::Fp32.name(),
            shape: stacked.shape.clone(),
            parameters,
            data,
        }
    });
    let head = json(&InferenceResponse {
        model_name: model,
        model_version: VERSION,
        id,
        outputs: described.collect(),
    })?;
    let binary = asked.iter().any(|asked| asked.form == TensorForm::Binary);
    if !binary {
        return Ok(([(header::CONTENT_TYPE, "application/json")], head).into_response());
    }
    let length = head.len().to_string();
    let mut body = BytesMut::from(head.as_slice());
    for (asked, stacked) in asked.iter().zip(outputs) {
        if asked.form == TensorForm::Binary {
            body.put_slice(&little_endian(stacked.values));
        }
    }
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (JSON_LENGTH, length),
    ];
    Ok((headers, body.freeze()).into_response())
}
