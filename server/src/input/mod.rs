//! What a request for embeddings asks for, whichever of the three forms it has.

mod body;
mod fields;
mod json;
mod multipart;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

pub(crate) use body::{BodyMemory, Share};
pub(crate) use json::EmbeddingsRequest;

use crate::problem::Problem;
use body::Held;
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
#[derive(Debug)]
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
    /// What the body holds of the memory for bodies: to be kept for as long as the images are.
    pub(crate) memory: Share,
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
    plain(&parts.headers)?;
    let Held { bytes, share } = body::read(&parts.headers, body, limits).await?;
    if bytes.is_empty() {
        return Err(Problem::EmptyBody);
    }
    let embeddings = match form {
        Form::Raw => fields.with_images(vec![bytes]),
        Form::Multipart => {
            let images = multipart::read(parts, bytes, &mut fields, limits.images).await?;
            fields.with_images(images)
        }
        Form::Json => json(bytes, fields, limits.images).await?,
    };
    Ok(Embeddings {
        memory: share,
        ..embeddings
    })
}

/// Megabytes of base64 take tens of milliseconds: too long for a thread that others' requests wait for.
async fn json(body: Bytes, fields: Fields, limit: usize) -> Result<Embeddings, Problem> {
    let read = tokio::task::spawn_blocking(move || json::read(&body, fields, limit));
    read.await.map_err(|error| {
        tracing::error!(%error, "reading JSON panicked");
        Problem::Internal
    })?
}

/// Refuses what is compressed: its length says nothing about what comes out.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    match encodings
        .iter()
        .find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        None => Ok(()),
        Some(value) => Err(Problem::UnsupportedEncoding {
            encoding: String::from_utf8_lossy(value.as_bytes())
                .chars()
                .take(100)
                .collect(),
        }),
    }
}

/// What a request may hold.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Longest body, in bytes.
    pub(crate) bytes: usize,
    /// Most images.
    pub(crate) images: usize,
    /// Longest wait for the body.
    pub(crate) timeout: std::time::Duration,
    /// For the bodies of all requests.
    pub(crate) memory: BodyMemory,
}
