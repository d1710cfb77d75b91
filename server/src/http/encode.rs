//! Embeddings as JSON in OpenAI's shape, as a NumPy array file, as a safetensors file.

use std::collections::HashMap;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_core::model::Precision;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::json::EncodingFormat;
use super::{Problem, Provenance, Representation};
use crate::observe::{Phase, Timings};

/// Alignment of an array file's data (NumPy's format, version 1.0).
const NPY_ALIGNMENT: usize = 64;

/// OpenAI's list of embeddings.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EmbeddingList<'a> {
    /// Always `list`.
    object: &'static str,
    /// The model that made them.
    model: &'a str,
    /// SHA-256 of that model's manifest.
    model_digest: &'a str,
    /// What they were computed in: `fp32`, `fp16` or `int8`.
    #[schema(value_type = String)]
    precision: Precision,
    /// One for each image, in order.
    data: Vec<EmbeddingItem<'a>>,
    /// Always zero: images have no tokens.
    usage: Usage,
}

/// One image's embedding.
#[derive(Serialize, utoipa::ToSchema)]
struct EmbeddingItem<'a> {
    /// Always `embedding`.
    object: &'static str,
    /// Which image of the request, from 0.
    index: usize,
    /// The vector.
    embedding: Vector<'a>,
}

/// A vector as numbers, or as base64 of little-endian float32.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Vector<'a> {
    /// As numbers.
    Float(&'a [f32]),
    /// As base64.
    Base64(String),
}

/// Always zero.
#[derive(Serialize, utoipa::ToSchema)]
struct Usage {
    /// Always 0.
    prompt_tokens: u32,
    /// Always 0.
    total_tokens: u32,
}

/// What embeddings can be sent as, in the server's order of preference.
pub(crate) const EMBEDDINGS: [Representation; 3] = [
    Representation::Json,
    Representation::Npy,
    Representation::Safetensors,
];

/// The answer with `embeddings`, all of one length.
pub(crate) fn embeddings(
    made_by: &Provenance,
    embeddings: &[Vec<f32>],
    representation: Representation,
    encoding: EncodingFormat,
) -> Result<Response, Problem> {
    let shape = [embeddings.len(), embeddings.first().map_or(0, Vec::len)];
    let bytes = Timings::measure(Phase::Encode, || match representation {
        Representation::Json => json(&list(made_by, embeddings, encoding)),
        Representation::Npy => Ok(npy("<f4", &shape, &little_endian(embeddings.concat()))),
        Representation::Safetensors => {
            let data = little_endian(embeddings.concat());
            safetensors(&[("embeddings", Dtype::F32, &shape, &data)])
        }
        Representation::Png => Err(unwritten("embeddings are no picture")),
    });
    Ok(answer(representation, bytes?))
}

fn list<'a>(
    made_by: &'a Provenance,
    embeddings: &'a [Vec<f32>],
    encoding: EncodingFormat,
) -> EmbeddingList<'a> {
    let item = |(index, values): (usize, &'a Vec<f32>)| EmbeddingItem {
        object: "embedding",
        index,
        embedding: vector_of(values, encoding),
    };
    EmbeddingList {
        object: "list",
        model: &made_by.model,
        model_digest: &made_by.digest,
        precision: made_by.precision,
        data: embeddings.iter().enumerate().map(item).collect(),
        usage: Usage {
            prompt_tokens: 0,
            total_tokens: 0,
        },
    }
}

fn vector_of(values: &[f32], encoding: EncodingFormat) -> Vector<'_> {
    match encoding {
        EncodingFormat::Float => Vector::Float(values),
        EncodingFormat::Base64 => Vector::Base64(base64(values)),
    }
}

/// base64 of little-endian float32.
pub(crate) fn base64(values: &[f32]) -> String {
    STANDARD.encode(little_endian(values.iter().copied()))
}

/// An answer of a media type.
pub(crate) fn answer(representation: Representation, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, representation.media_type()),
        (header::VARY, "accept"),
    ];
    (headers, bytes).into_response()
}

/// JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    Timings::measure(Phase::Encode, || serde_json::to_vec(value)).map_err(unwritten)
}

/// float32 values as they are in files.
pub(crate) fn little_endian(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// Version 1.0 of NumPy's format: magic, version, length of the header, the header padded to the alignment, data.
pub(crate) fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let axes = shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}{comma}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + size_of::<u16>();
    let padding = NPY_ALIGNMENT - 1 - (before + header.len()) % NPY_ALIGNMENT;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("the header holds a few numbers");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A safetensors file of tensors given by name, type, shape and little-endian bytes.
pub(crate) fn safetensors(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Result<Vec<u8>, Problem> {
    let views = tensors
        .iter()
        .map(|&(name, dtype, shape, data)| {
            Ok((name, TensorView::new(dtype, shape.to_vec(), data)?))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(unwritten)?;
    safetensors::serialize(views, None::<HashMap<String, String>>).map_err(unwritten)
}

/// An answer that could not be written is the server's fault.
pub(crate) fn unwritten(reason: impl std::fmt::Display) -> Problem {
    tracing::error!(%reason, "an answer could not be written");
    Problem::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_file_starts_its_data_where_numpy_expects_it() {
        for rows in [1, 7, 1000] {
            let data = little_endian([1.5, -2.0].repeat(rows));
            let bytes = npy("<f4", &[rows, 2], &data);
            let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!((10 + length) % NPY_ALIGNMENT, 0);
            assert_eq!(bytes[10 + length - 1], b'\n');
            assert_eq!(bytes[10 + length..].len(), rows * 8);
            assert_eq!(bytes[10 + length..][..4], 1.5_f32.to_le_bytes());
        }
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        let Vector::Base64(text) = vector_of(&[1.0, -2.0], EncodingFormat::Base64) else {
            panic!("not base64")
        };
        assert_eq!(
            STANDARD.decode(text).unwrap(),
            [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
        );
    }
}
