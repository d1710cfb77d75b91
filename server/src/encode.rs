//! Embeddings as JSON in OpenAI's shape, as a NumPy array file, as a safetensors file.

use std::collections::HashMap;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::accept::Representation;
use crate::input::Encoding;
use crate::problem::Problem;

/// Alignment of an array file's data (NumPy's format, version 1.0).
const NPY_ALIGNMENT: usize = 64;

/// OpenAI's list of embeddings.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EmbeddingList<'a> {
    /// Always `list`.
    object: &'static str,
    /// The model that made them.
    model: &'a str,
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

/// The answer with `embeddings` of `model`, all of one length.
pub(crate) fn embeddings(
    model: &str,
    embeddings: &[Vec<f32>],
    representation: Representation,
    encoding: Encoding,
) -> Result<Response, Problem> {
    let bytes = match representation {
        Representation::Json => json(model, embeddings, encoding),
        Representation::Npy => Some(npy(embeddings)),
        Representation::Safetensors => safetensors(embeddings),
    };
    let bytes = bytes.ok_or_else(|| {
        tracing::error!(model, ?representation, "an answer could not be written");
        Problem::Internal
    })?;
    let headers = [
        (header::CONTENT_TYPE, representation.media_type()),
        (header::VARY, "accept"),
    ];
    Ok((headers, bytes).into_response())
}

fn json(model: &str, embeddings: &[Vec<f32>], encoding: Encoding) -> Option<Vec<u8>> {
    let data = embeddings
        .iter()
        .enumerate()
        .map(|(index, values)| EmbeddingItem {
            object: "embedding",
            index,
            embedding: vector_of(values, encoding),
        })
        .collect();
    let usage = Usage {
        prompt_tokens: 0,
        total_tokens: 0,
    };
    serde_json::to_vec(&EmbeddingList {
        object: "list",
        model,
        data,
        usage,
    })
    .ok()
}

fn vector_of(values: &[f32], encoding: Encoding) -> Vector<'_> {
    match encoding {
        Encoding::Float => Vector::Float(values),
        Encoding::Base64 => {
            Vector::Base64(STANDARD.encode(little_endian(std::slice::from_ref(&values))))
        }
    }
}

fn little_endian<V: AsRef<[f32]>>(rows: &[V]) -> Vec<u8> {
    rows.iter()
        .flat_map(AsRef::as_ref)
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn shape(embeddings: &[Vec<f32>]) -> [usize; 2] {
    [embeddings.len(), embeddings.first().map_or(0, Vec::len)]
}

/// Version 1.0 of NumPy's format: magic, version, length of the header, the header padded to the alignment, data.
fn npy(embeddings: &[Vec<f32>]) -> Vec<u8> {
    let [n, d] = shape(embeddings);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {d}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + size_of::<u16>();
    let padding = NPY_ALIGNMENT - 1 - (before + header.len()) % NPY_ALIGNMENT;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("the header holds two numbers");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(little_endian(embeddings));
    bytes
}

fn safetensors(embeddings: &[Vec<f32>]) -> Option<Vec<u8>> {
    let bytes = little_endian(embeddings);
    let view = TensorView::new(Dtype::F32, shape(embeddings).to_vec(), &bytes).ok()?;
    safetensors::serialize([("embeddings", view)], None::<HashMap<String, String>>).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_file_starts_its_data_where_numpy_expects_it() {
        for rows in [1, 7, 1000] {
            let bytes = npy(&vec![vec![1.5, -2.0]; rows]);
            let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!((10 + length) % NPY_ALIGNMENT, 0);
            assert_eq!(bytes[10 + length - 1], b'\n');
            assert_eq!(bytes[10 + length..].len(), rows * 8);
            assert_eq!(bytes[10 + length..][..4], 1.5_f32.to_le_bytes());
        }
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        let Vector::Base64(text) = vector_of(&[1.0, -2.0], Encoding::Base64) else {
            panic!("not base64")
        };
        assert_eq!(
            STANDARD.decode(text).unwrap(),
            [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
        );
    }
}
