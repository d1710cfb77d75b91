//! An answer as it is written: JSON, and the outputs that are wanted as bytes after it.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use detcon_core::checkpoint::Tensor;
use serde::{Serialize, Serializer};

use super::VERSION;
use super::binary::JSON_LENGTH;
use super::contract::Datatype;
use super::request::AskedOutput;
use crate::engine::Form;
use crate::http::encode::{floats, json};
use crate::http::{Problem, Written};

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
    #[schema(value_type = Option<Vec<f32>>)]
    data: Option<Values<'a>>,
}

/// Of an output that is sent as bytes.
#[derive(Serialize, utoipa::ToSchema)]
struct BinarySize {
    /// Its bytes after the JSON.
    binary_data_size: usize,
}

/// The values of an output of several images, one after the other.
struct Values<'a>(&'a [Tensor]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(Tensor::values))
    }
}

/// The answer with outputs in the order in which they were asked for, and the length of the JSON in front of tensors,
/// where there are any.
pub(super) fn write(
    model: &str,
    id: Option<&str>,
    asked: &[AskedOutput],
    outputs: Vec<Vec<Tensor>>,
) -> Result<(Option<usize>, Written), Problem> {
    let described = asked.iter().zip(&outputs).map(|(asked, images)| {
        let bytes = images.iter().map(|image| size_of_val(image.values()));
        let size = BinarySize {
            binary_data_size: bytes.sum(),
        };
        let (parameters, data) = match asked.form {
            Form::Number | Form::Base64 => (None, Some(Values(images))),
            Form::Binary => (Some(size), None),
        };
        let mut shape = vec![images.len()];
        shape.extend(images.first().map_or(&[][..], Tensor::shape));
        ResponseOutput {
            name: asked.output.name(),
            datatype: Datatype::Fp32.name(),
            shape,
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
    let binary = |asked: &AskedOutput| asked.form == Form::Binary;
    let length = asked.iter().any(binary).then(|| head.len());
    let sent = asked.iter().zip(outputs).filter(|(asked, _)| binary(asked));
    let tensors = sent.flat_map(|(_, images)| images);
    let tensors = tensors.map(|image| floats(image.into_values()));
    Ok((length, head.and(tensors)))
}

/// As a response.
pub(super) fn answer(json: Option<usize>, written: Written) -> Response {
    match json {
        None => ([(header::CONTENT_TYPE, "application/json")], written).into_response(),
        Some(length) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (JSON_LENGTH, length.to_string()),
            ];
            (headers, written).into_response()
        }
    }
}
