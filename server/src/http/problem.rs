//! Every error that a client can see: one table of status, type and title, sent as RFC 9457 problem+json.
//!
//! Details of what went wrong inside stay in the log.

mod body;
mod table;

use std::time::Duration;

use detcon_core::image::ImageError;

pub(crate) use body::ProblemBody;

use super::image_fetch::FetchError;
use crate::engine::{Excess, NoRoom, Party, WorkError};
use crate::models::ModelsError;

/// When a request that found no memory may try again: bodies are read, and answers taken, in less.
const MEMORY_RETRY: Duration = Duration::from_secs(1);

/// What is wrong with a request, or with the server while it answers. The text is the problem's `detail`: what is
/// wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A model, or one of its files, that cannot be had or changed.
    #[error(transparent)]
    Models(ModelsError),
    /// No bytes where an image should be.
    #[error("The request has no body: send an image in it.")]
    EmptyBody,
    /// A request for embeddings without an image.
    #[error("The request has no image: send at least one {what}.")]
    NoImage {
        /// What an image is called in this kind of request.
        what: &'static str,
    },
    /// More images than one request may have.
    #[error("The request has more than {limit} images: send them in several requests.")]
    TooManyImages {
        /// Most images in a request.
        limit: usize,
    },
    /// A body longer than the limit.
    #[error("The body is longer than {limit} bytes: send smaller or fewer images.")]
    BodyTooLarge {
        /// Longest body.
        limit: usize,
    },
    /// A body that stopped before its end.
    #[error("The body broke off: send it again.")]
    BodyIncomplete,
    /// An image that cannot be used.
    #[error("Image {index}: {source}")]
    Image {
        /// Which image of the request, from 0.
        index: usize,
        /// What is wrong with it.
        source: ImageError,
    },
    /// An image that is named by an address and could not be had from there.
    #[error(
        "Image {index} could not be fetched: {reason}. Send the image itself, or another address."
    )]
    NotFetched {
        /// Which image of the request, from 0.
        index: usize,
        /// What is wrong.
        reason: FetchError,
    },
    /// No `Content-Type`.
    #[error(
        "The request has no Content-Type: send image/* or application/octet-stream for an image, \
         multipart/form-data for several, or application/json."
    )]
    MissingContentType,
    /// A `Content-Type` that is not read here.
    #[error(
        "{content_type} is not read here: send image/* or application/octet-stream for an image, \
         multipart/form-data for several, or application/json."
    )]
    UnsupportedMediaType {
        /// As it was sent.
        content_type: String,
    },
    /// A body that is compressed.
    #[error("Bodies encoded as {encoding} are not read: send it without Content-Encoding.")]
    UnsupportedEncoding {
        /// As it was sent.
        encoding: String,
    },
    /// No representation that the client accepts.
    #[error("Nothing here is {accept}: accept one of {offers}.")]
    NotAcceptable {
        /// As it was sent.
        accept: String,
        /// What there is.
        offers: String,
    },
    /// Another version of a model than the one there is.
    #[error("There is no version {version:?}: every model has the one version 1.")]
    UnknownVersion {
        /// As it was asked for.
        version: String,
    },
    /// Another revision of a model than the one there is.
    #[error(
        "The model {name:?} has no revision {revision:?}: it has main, and the commit that /api/models/{name} tells."
    )]
    UnknownRevision {
        /// The model.
        name: String,
        /// As it was asked for.
        revision: String,
    },
    /// A field that does not exist.
    #[error("{field:?} is no field of this request: known are {known}.")]
    UnknownField {
        /// As it was sent.
        field: String,
        /// Those that exist.
        known: String,
    },
    /// A field whose value cannot be used.
    #[error("{field}: {detail}.")]
    InvalidField {
        /// The field.
        field: String,
        /// What is wrong with its value.
        detail: String,
    },
    /// A given mask that cannot be used.
    #[error("{detail}")]
    Mask {
        /// What is wrong with it.
        detail: String,
    },
    /// A method that cannot be used on this image.
    #[error("{detail}")]
    Segmentation {
        /// What is wrong with it.
        detail: String,
    },
    /// A body that is no JSON.
    #[error("The body is not JSON: {detail}.")]
    MalformedJson {
        /// What the parser said.
        detail: String,
    },
    /// A body that is not what its multipart boundary promises.
    #[error("The body is not multipart/form-data: {detail}.")]
    MalformedMultipart {
        /// What the parser said.
        detail: String,
    },
    /// A path that leads nowhere.
    #[error("There is nothing at {path}: /docs lists every path.")]
    NotFound {
        /// As it was asked for.
        path: String,
    },
    /// A path asked for with another method.
    #[error("{method} is not for this path: the Allow header lists what is.")]
    MethodNotAllowed {
        /// As it was sent.
        method: String,
    },
    /// A part of a file that does not have it.
    #[error("The file has {bytes} bytes: the range that was asked for is not among them.")]
    RangeNotSatisfiable {
        /// The file's length.
        bytes: u64,
    },
    /// A client that does not send what it promised.
    #[error("The body did not arrive within {seconds} s: send it faster, or in parts.")]
    RequestTimeout {
        /// How long the server waited.
        seconds: u64,
    },
    /// No key where one is needed.
    #[error("This needs an API key: send it as Authorization: Bearer KEY or as X-Api-Key.")]
    KeyMissing,
    /// A key that is none of the server's.
    #[error("The API key is not known here: check it, or ask whoever runs the server for another.")]
    KeyUnknown,
    /// A key that is for something else.
    #[error("The API key does not allow this: it needs one with the scope {needed}.")]
    KeyNotAllowed {
        /// Name of the scope.
        needed: &'static str,
    },
    /// An input of more pixels than the network is given at once.
    #[error(
        "The network would see {pixels} pixels at once, and {limit} are the most: ask for a smaller size, or send an \
         image that is less long for its width."
    )]
    InputTooLarge {
        /// Its pixels.
        pixels: u64,
        /// Most of them.
        limit: u64,
    },
    /// An answer that is too long.
    #[error(
        "The answer would take {bytes} bytes, and {limit} are the most: ask for a smaller size, for fewer images or \
         outputs at once, or for binary data where this was for JSON."
    )]
    AnswerTooLarge {
        /// Its bytes.
        bytes: u64,
        /// Most of them.
        limit: u64,
    },
    /// Work that takes more memory than there is for all requests.
    #[error(
        "The work on this would take {bytes} bytes of memory, and there are {limit}: scale the image down, or ask for less at once."
    )]
    WorkTooLarge {
        /// What it takes, in bytes.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// A page of another site that asks for a change.
    #[error(
        "A page of another site may not ask for this: list its origin with --cors-origin, or protect the server with --api-keys."
    )]
    CrossSite,
    /// No answer in the time that the client gave.
    #[error("There was no answer within the {} s that the request gave: give it more, or fewer images.", allowed.as_secs_f64())]
    Expired {
        /// How long the request had.
        allowed: Duration,
    },
    /// All places in the queue are taken.
    #[error("The server is at its limit: try again in {} s.", seconds(*retry_after))]
    Overloaded {
        /// When there should be room.
        retry_after: Duration,
    },
    /// No answer in time.
    #[error("There was no answer within {} s: try again, with fewer images at once.", allowed.as_secs_f64())]
    Timeout {
        /// How long the request had.
        allowed: Duration,
    },
    /// The server is on its way out.
    #[error("The server is shutting down: try another.")]
    ShuttingDown,
    /// The engine failed.
    #[error("The model could not be run. The server's log says why.")]
    Engine,
    /// A fault of the server's own.
    #[error("The server failed at this request. Its log says why.")]
    Internal,
}

impl From<ModelsError> for Problem {
    fn from(error: ModelsError) -> Self {
        match error {
            ModelsError::Busy { retry_after } => Self::Overloaded { retry_after },
            ModelsError::Internal => Self::Internal,
            error => Self::Models(error),
        }
    }
}

impl From<WorkError> for Problem {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Image { index, source } => Self::Image { index, source },
            WorkError::TooManyImages { limit } => Self::TooManyImages { limit },
            WorkError::Full { retry_after } => Self::Overloaded { retry_after },
            WorkError::Late(deadline) => {
                let allowed = deadline.allowed;
                match deadline.set_by {
                    Party::Client => Self::Expired { allowed },
                    Party::Server => Self::Timeout { allowed },
                }
            }
            WorkError::Excess(excess) => excess.into(),
            WorkError::Engine => Self::Engine,
            WorkError::Gone => Self::ShuttingDown,
            WorkError::Panicked => Self::Internal,
        }
    }
}

impl From<Excess> for Problem {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Input { pixels, limit } => Self::InputTooLarge { pixels, limit },
            Excess::Answer { bytes, limit } => Self::AnswerTooLarge { bytes, limit },
            Excess::Memory { bytes, limit } => Self::WorkTooLarge { bytes, limit },
            Excess::NoRoom => NoRoom.into(),
        }
    }
}

impl From<NoRoom> for Problem {
    fn from(NoRoom: NoRoom) -> Self {
        Self::Overloaded {
            retry_after: MEMORY_RETRY,
        }
    }
}

/// Whole seconds to wait, rounded up: never so few that the client comes too early.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
