//! Answers as they are written: embeddings as JSON in OpenAI's shape, arrays as NumPy's files and as safetensors files.
//!
//! Values are sent from where they are: a file is its head and the values themselves, and nothing is copied together.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use detcon_core::model::Precision;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Serialize, Serializer};

use super::json::EncodingFormat;
use super::written::Written;
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
    #[schema(value_type = String)]
    Base64(Base64<'a>),
}

/// float32 values that are written as base64 of little-endian bytes.
#[derive(Clone, Copy)]
pub(crate) struct Base64<'a>(pub(crate) &'a [f32]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(bytemuck::cast_slice(self.0), &STANDARD))
    }
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

/// `embeddings`, all of one length.
pub(crate) fn embeddings(
    made_by: &Provenance,
    embeddings: Vec<Vec<f32>>,
    representation: Representation,
    encoding: EncodingFormat,
) -> Result<Written, Problem> {
    let shape = [embeddings.len(), embeddings.first().map_or(0, Vec::len)];
    let values = |embeddings: Vec<Vec<f32>>| embeddings.into_iter().map(floats).collect();
    Timings::measure(Phase::Encode, || match representation {
        Representation::Json => json(&list(made_by, &embeddings, encoding)),
        Representation::Npy => Ok(npy("<f4", &shape, values(embeddings))),
        Representation::Safetensors => {
            let tensor = ("embeddings", Dtype::F32, &shape[..], values(embeddings));
            safetensors(vec![tensor])
        }
        Representation::Png => Err(unwritten("embeddings are no picture")),
    })
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
        EncodingFormat::Base64 => Vector::Base64(Base64(values)),
    }
}

/// An answer of a media type.
pub(crate) fn answer(representation: Representation, written: Written) -> Response {
    let headers = [
        (header::CONTENT_TYPE, representation.media_type()),
        (header::VARY, "accept"),
    ];
    (headers, written).into_response()
}

/// JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Written, Problem> {
    let json = Timings::measure(Phase::Encode, || serde_json::to_vec(value));
    json.map(Written::from).map_err(unwritten)
}

/// float32 values as they are in files, without a copy of them.
pub(crate) fn floats(values: Vec<f32>) -> Bytes {
    struct Floats(Vec<f32>);
    impl AsRef<[u8]> for Floats {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    const { assert!(cfg!(target_endian = "little"), "files are little-endian") }
    Bytes::from_owner(Floats(values))
}

/// Version 1.0 of NumPy's format: magic, version, length of the header, the header padded to the alignment, data.
pub(crate) fn npy(descr: &str, shape: &[usize], data: Vec<Bytes>) -> Written {
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
    Written::from(bytes).and(data)
}

/// A tensor of a safetensors file: name, type, shape and little-endian bytes.
pub(crate) type FileTensor<'a> = (&'a str, Dtype, &'a [usize], Vec<Bytes>);

/// A safetensors file: the length of the header, the header padded to that length's own alignment, and the tensors in
/// the header's order, which has larger types first and then goes by name.
pub(crate) fn safetensors(mut tensors: Vec<FileTensor<'_>>) -> Result<Written, Problem> {
    tensors.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut end = 0;
    let infos = tensors.iter().map(|(name, dtype, shape, data)| {
        let start = end;
        end += data.iter().map(Bytes::len).sum::<usize>();
        let info = TensorInfo {
            dtype: *dtype,
            shape: shape.to_vec(),
            data_offsets: (start, end),
        };
        ((*name).to_owned(), info)
    });
    let metadata = Metadata::new(None, infos.collect()).map_err(unwritten)?;
    let mut header = serde_json::to_vec(&metadata).map_err(unwritten)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    let data = tensors.into_iter().flat_map(|(.., data)| data);
    Ok(Written::from(bytes).and(data))
}

/// An answer that could not be written is the server's fault.
pub(crate) fn unwritten(reason: impl std::fmt::Display) -> Problem {
    tracing::error!(%reason, "an answer could not be written");
    Problem::Internal
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn an_array_file_starts_its_data_where_numpy_expects_it() {
        for rows in [1, 7, 1000] {
            let data = floats([1.5, -2.0].repeat(rows));
            let bytes = npy("<f4", &[rows, 2], vec![data]).to_vec();
            let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!((10 + length) % NPY_ALIGNMENT, 0);
            assert_eq!(bytes[10 + length - 1], b'\n');
            assert_eq!(bytes[10 + length..].len(), rows * 8);
            assert_eq!(bytes[10 + length..][..4], 1.5_f32.to_le_bytes());
        }
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        let text = serde_json::to_value(vector_of(&[1.0, -2.0], EncodingFormat::Base64)).unwrap();
        assert_eq!(
            STANDARD.decode(text.as_str().unwrap()).unwrap(),
            [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
        );
    }

    #[test]
    fn a_safetensors_file_is_what_its_reader_reads_whatever_the_order_of_its_tensors() {
        let ids: Vec<u8> = [1_i64, -2].iter().flat_map(|id| id.to_le_bytes()).collect();
        let tensors = || {
            vec![
                (
                    "b",
                    Dtype::F32,
                    &[2, 1][..],
                    vec![floats(vec![1.5]), floats(vec![-2.0])],
                ),
                ("ids", Dtype::I64, &[2][..], vec![Bytes::from(ids.clone())]),
                ("a", Dtype::F32, &[0, 3][..], Vec::new()),
            ]
        };
        let reversed = tensors().into_iter().rev().collect();
        let file = safetensors(tensors()).unwrap().to_vec();
        assert_eq!(file, safetensors(reversed).unwrap().to_vec());
        let read = safetensors::SafeTensors::deserialize(&file).unwrap();
        for (name, dtype, shape, data) in tensors() {
            let tensor = read.tensor(name).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape));
            assert_eq!(tensor.data(), data.concat());
        }
        assert!(read.names().len() == 3);
    }
}
