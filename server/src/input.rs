//! What a request holds, whichever form it has: images, perhaps a mask, and fields.

mod body;
mod fields;
mod inflate;
mod json;
mod multipart;
pub(crate) mod parameters;
mod unread;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

pub(crate) use body::{BodyMemory, Share};
pub(crate) use inflate::inflated;
pub(crate) use json::EmbeddingsRequest;

use crate::demand::Demand;
use crate::fetch::{FetchError, Fetcher};
use crate::problem::Problem;
use body::Held;
pub(crate) use fields::{Fields, Mask, Shape, invalid};
use parameters::{MODEL, NORMALIZE, PRIORITY, TIMEOUT_MS};
pub(crate) use parameters::{document_fields, documented};
pub(crate) use unread::drained;

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
    /// Whether vectors are divided by their length.
    pub(crate) normalize: bool,
    /// How a JSON answer writes them.
    pub(crate) encoding: Encoding,
    /// Length of the vectors that the client expects.
    pub(crate) dimensions: Option<usize>,
    /// How long the client waits, and how soon it needs the answer.
    pub(crate) demand: Demand,
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

/// Images with what came beside them.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Encoded images, at least one.
    pub(crate) images: Vec<Bytes>,
    /// An encoded label map.
    pub(crate) mask: Option<Bytes>,
    /// The fields.
    pub(crate) fields: Fields,
    /// What the body holds of the memory for bodies, for as long as this lives.
    memory: Share,
}

impl Upload {
    /// The one image of a request whose shape has one.
    pub(crate) fn image(&self) -> Result<Bytes, Problem> {
        self.images.first().cloned().ok_or(Problem::NoImage {
            what: "part called image",
        })
    }
}

/// Fields of a request for embeddings that is not JSON.
pub(crate) const EMBEDDINGS: Shape = Shape {
    fields: &[MODEL, NORMALIZE, TIMEOUT_MS, PRIORITY],
    images: None,
    mask: Mask::Unknown,
};

/// Reads a request for embeddings.
pub(crate) async fn embeddings(
    form: Form,
    request: Request,
    limits: &Limits,
) -> Result<Embeddings, Problem> {
    let demand = Demand::of(request.headers())?;
    match form {
        Form::Raw | Form::Multipart => {
            let mut upload = upload(form, request, EMBEDDINGS, limits).await?;
            Ok(Embeddings {
                demand: demand.with(&mut upload.fields)?,
                model: upload.fields.take(MODEL)?,
                normalize: upload.fields.take(NORMALIZE)?.unwrap_or(false),
                images: upload.images,
                encoding: Encoding::default(),
                dimensions: None,
                memory: upload.memory,
            })
        }
        Form::Json => {
            let mut fields = Fields::from_query(EMBEDDINGS, request.uri())?;
            let demand = demand.with(&mut fields)?;
            let query = (fields.take(MODEL)?, fields.take(NORMALIZE)?);
            let (parts, body) = request.into_parts();
            let held = whole(&parts.headers, body, limits).await?;
            json(held, query, demand, limits).await
        }
    }
}

/// Reads a request that holds images as a raw body or as parts.
pub(crate) async fn upload(
    form: Form,
    request: Request,
    shape: Shape,
    limits: &Limits,
) -> Result<Upload, Problem> {
    let fields = Fields::from_query(shape, request.uri())?;
    let (parts, body) = request.into_parts();
    let held = whole(&parts.headers, body, limits).await?;
    match form {
        Form::Raw => Ok(Upload {
            images: vec![held.bytes],
            mask: None,
            fields,
            memory: held.share,
        }),
        Form::Multipart => multipart::read(parts, held, fields, shape, limits.images).await,
        Form::Json => Err(Problem::UnsupportedMediaType {
            content_type: "application/json".to_owned(),
        }),
    }
}

/// Megabytes of base64 take tens of milliseconds: too long for a thread that others' requests wait for.
async fn json(
    held: Held,
    query: (Option<String>, Option<bool>),
    demand: Demand,
    limits: &Limits,
) -> Result<Embeddings, Problem> {
    let (limit, fetcher) = (limits.images, limits.fetcher.clone());
    let read = tokio::task::spawn_blocking(move || {
        let parsed = json::read(&held.bytes, query, limit, &fetcher)?;
        Ok((parsed, held.bytes.len(), held.share))
    });
    let (parsed, bytes, memory) = read.await.map_err(|error| {
        tracing::error!(%error, "reading JSON panicked");
        Problem::Internal
    })??;
    let (images, memory) = all(parsed.images, bytes, memory, limits).await?;
    Ok(Embeddings {
        model: parsed.model,
        images,
        normalize: parsed.normalize,
        encoding: parsed.encoding,
        dimensions: parsed.dimensions,
        demand,
        memory,
    })
}

/// Fetches what is not here yet, one after the other, in the time and the memory of a body and with no more bytes.
async fn all(
    images: Vec<json::Image>,
    body: usize,
    mut memory: Share,
    limits: &Limits,
) -> Result<(Vec<Bytes>, Share), Problem> {
    let end = tokio::time::Instant::now() + limits.timeout;
    let (mut here, mut fetched) = (Vec::with_capacity(images.len()), 0);
    for (index, image) in images.into_iter().enumerate() {
        here.push(match image {
            json::Image::Here(bytes) => bytes,
            json::Image::At(address) => {
                let room = limits.bytes - fetched;
                let late = |_| Err(FetchError::Slow);
                let image = tokio::time::timeout_at(end, limits.fetcher.fetch(address, room));
                let image = image.await.unwrap_or_else(late);
                let image = image.map_err(|reason| Problem::NotFetched { index, reason })?;
                fetched += image.len();
                body::grow(&mut memory, body + fetched, &limits.memory)?;
                image
            }
        });
    }
    Ok((here, memory))
}

async fn whole(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Held, Problem> {
    plain(headers)?;
    let held = body::read(headers, body, limits).await?;
    if held.bytes.is_empty() {
        Err(Problem::EmptyBody)
    } else {
        Ok(held)
    }
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
    /// Gets images that are named by their address.
    pub(crate) fetcher: Fetcher,
}
