//! What a request holds, whichever form its body has: images, perhaps a mask, and fields.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::Problem;
use super::body::{self, Held, Limits};
use super::fields::{Fields, Mask, RequestFields};
use super::image_fetch::{FetchError, Room};
use super::multipart::Files;
use super::parameters::{MODEL, NORMALIZE, PRIORITY, TIMEOUT_MS};
use super::urgency::{urgency, urgency_with};
use super::{json, multipart};
use crate::engine::{NoRoom, Share, Urgency};

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
    pub(crate) encoding: json::EncodingFormat,
    /// Length of the vectors that the client expects.
    pub(crate) dimensions: Option<usize>,
    /// How long the client waits, and how soon it needs the answer.
    pub(crate) urgency: Urgency,
    /// What the body holds of the memory for bodies: to be kept for as long as the images are.
    pub(crate) memory: Share,
}

/// The forms that a request for embeddings can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// The body is the image.
    Raw,
    /// Parts called `image`, and fields.
    Multipart,
    /// OpenAI's shape.
    Json,
}

impl BodyFormat {
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
pub(crate) struct Contents {
    /// Encoded images, at least one.
    pub(crate) images: Vec<Bytes>,
    /// An encoded label map.
    pub(crate) mask: Option<Bytes>,
    /// The fields.
    pub(crate) fields: Fields,
    /// What the body holds of the memory for bodies, for as long as this lives.
    memory: Share,
}

impl Contents {
    /// The one image of a request whose shape has one.
    pub(crate) fn image(&self) -> Result<Bytes, Problem> {
        self.images.first().cloned().ok_or(Problem::NoImage {
            what: "part called image",
        })
    }
}

/// Fields of a request for embeddings that is not JSON.
pub(crate) const EMBEDDINGS: RequestFields = RequestFields {
    fields: &[MODEL, NORMALIZE, TIMEOUT_MS, PRIORITY],
    images: None,
    mask: Mask::Unknown,
};

/// Reads a request for embeddings.
pub(crate) async fn embeddings(
    format: BodyFormat,
    request: Request,
    limits: &Limits,
) -> Result<Embeddings, Problem> {
    let urgency = urgency(request.headers())?;
    match format {
        BodyFormat::Raw | BodyFormat::Multipart => {
            let mut contents = contents(format, request, EMBEDDINGS, limits).await?;
            Ok(Embeddings {
                urgency: urgency_with(urgency, &mut contents.fields)?,
                model: contents.fields.take(MODEL)?,
                normalize: contents.fields.take(NORMALIZE)?.unwrap_or(false),
                images: contents.images,
                encoding: json::EncodingFormat::default(),
                dimensions: None,
                memory: contents.memory,
            })
        }
        BodyFormat::Json => {
            let mut fields = Fields::from_query(EMBEDDINGS, request.uri())?;
            let urgency = urgency_with(urgency, &mut fields)?;
            let query = (fields.take(MODEL)?, fields.take(NORMALIZE)?);
            let (parts, body) = request.into_parts();
            let held = whole(&parts.headers, body, limits).await?;
            json(held, query, urgency, limits).await
        }
    }
}

/// Reads a request that holds images as a raw body or as parts.
pub(crate) async fn contents(
    format: BodyFormat,
    request: Request,
    known: RequestFields,
    limits: &Limits,
) -> Result<Contents, Problem> {
    let mut fields = Fields::from_query(known, request.uri())?;
    let (parts, body) = request.into_parts();
    let mut held = whole(&parts.headers, body, limits).await?;
    match format {
        BodyFormat::Raw => Ok(Contents {
            images: vec![held.bytes],
            mask: None,
            fields,
            memory: held.share,
        }),
        BodyFormat::Multipart => {
            held.reserve_for_reading(limits)?;
            let body = held.bytes;
            let length = body.len() as u64;
            let read = multipart::read(parts, body, &mut fields, known, limits.images);
            let Files { images, mask } = read.await?;
            held.share.shrink(length); // of the parts alone
            Ok(Contents {
                images,
                mask,
                fields,
                memory: held.share,
            })
        }
        BodyFormat::Json => Err(Problem::UnsupportedMediaType {
            content_type: "application/json".to_owned(),
        }),
    }
}

/// Megabytes of base64 take tens of milliseconds: too long for a thread that others' requests wait for.
async fn json(
    mut held: Held,
    query: (Option<String>, Option<bool>),
    urgency: Urgency,
    limits: &Limits,
) -> Result<Embeddings, Problem> {
    held.reserve_for_reading(limits)?;
    let (limit, fetcher) = (limits.images, limits.fetcher.clone());
    let read = tokio::task::spawn_blocking(move || {
        let parsed = json::read(&held.bytes, query, limit, &fetcher)?;
        Ok::<_, Problem>((parsed, held.share))
    });
    let (parsed, memory) = read.await.map_err(|error| {
        tracing::error!(%error, "reading JSON panicked");
        Problem::Internal
    })??;
    let (images, memory) = all(parsed.images, memory, limits).await?;
    Ok(Embeddings {
        model: parsed.model,
        images,
        normalize: parsed.normalize,
        encoding: parsed.encoding,
        dimensions: parsed.dimensions,
        urgency,
        memory,
    })
}

/// Fetches what is not here yet, one after the other, in the time and the memory of a body and with no more bytes.
async fn all(
    images: Vec<json::Image>,
    mut memory: Share,
    limits: &Limits,
) -> Result<(Vec<Bytes>, Share), Problem> {
    let end = tokio::time::Instant::now() + limits.timeout;
    let here = images.iter().map(json::Image::len).sum::<usize>();
    memory.shrink(here as u64); // the JSON is gone
    let (mut all, mut fetched) = (Vec::with_capacity(images.len()), 0);
    for (index, image) in images.into_iter().enumerate() {
        all.push(match image {
            json::Image::Here(bytes) => bytes,
            json::Image::At(address) => {
                let room = Room {
                    bytes: limits.bytes - fetched,
                    held: here + fetched,
                    memory: limits.memory.clone(),
                    share: memory,
                };
                let late = |_| Err(FetchError::Slow);
                let image = tokio::time::timeout_at(end, limits.fetcher.fetch(address, room));
                let image = image.await.unwrap_or_else(late);
                let image = image.map_err(|reason| match reason {
                    FetchError::NoRoom => NoRoom.into(),
                    reason => Problem::NotFetched { index, reason },
                });
                let (image, share) = image?;
                (memory, fetched) = (share, fetched + image.len());
                image
            }
        });
    }
    Ok((all, memory))
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
