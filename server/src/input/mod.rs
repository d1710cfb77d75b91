//! What a request for embeddings asks for, whichever of the three forms it has.

mod body;
mod fields;
mod json;
mod multipart;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

pub(crate) use json::EmbeddingsRequest;

use crate::problem::Problem;
use fields::Fields;

/// How long a request's embeddings are made before they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Norm {
    /// As the network computes them.
    #[default]
    Pooled,
    /// Divided by their Euclidean length.
    Unit,
}

/// How numbers are written in a JSON answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// As base64 of little-endian float32.
    Base64,
}

/// A request for embeddings, read and checked as far as it can be without the model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Embeddings {
    /// The model that was named.
    pub(crate) model: Option<String>,
    /// Encoded images, at least one.
    pub(crate) images: Vec<Bytes>,
    /// Their length.
    pub(crate) norm: Norm,
    /// How a JSON answer writes them.
    pub(crate) encoding: Encoding,
    /// Length of the vectors that the client expects.
    pub(crate) dimensions: Option<usize>,
}

/// The forms that a request for embeddings can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The body is the image.
    Raw,
    /// Parts called `image`, and fields.
    Multipart,
    /// OpenAI's shape.
    Json,
}

impl Form {
    /// By `Content-Type`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let value = headers
            .get(header::CONTENT_TYPE)
            .ok_or(Problem::MissingContentType)?;
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let essence = text
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            "" => Err(Problem::MissingContentType),
            "application/json" => Ok(Self::Json),
            "multipart/form-data" => Ok(Self::Multipart),
            "application/octet-stream" => Ok(Self::Raw),
            image if image.starts_with("image/") => Ok(Self::Raw),
            _ => Err(Problem::UnsupportedMediaType {
                content_type: text.chars().take(200).collect(),
            }),
        }
    }
}

/// Reads a request of `form` whose body has at most `limits.bytes`.
pub(crate) async fn read(
    form: Form,
    request: Request,
    limits: &Limits,
) -> Result<Embeddings, Problem> {
    let mut fields = Fields::from_query(request.uri())?;
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, limits).await?;
    if bytes.is_empty() {
        return Err(Problem::EmptyBody);
    }
    match form {
        Form::Raw => Ok(fields.with_images(vec![bytes])),
        Form::Multipart => {
            let images = multipart::read(parts, bytes, &mut fields, limits.images).await?;
            Ok(fields.with_images(images))
        }
        Form::Json => json::read(&bytes, fields, limits.images),
    }
}

/// What a request may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest body, in bytes.
    pub(crate) bytes: usize,
    /// Most images.
    pub(crate) images: usize,
    /// Longest wait for the body.
    pub(crate) timeout: std::time::Duration,
}
