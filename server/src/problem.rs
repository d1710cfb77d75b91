//! Every error that a client can see: one table of status, type and title, sent as RFC 9457 problem+json.
//!
//! Details of what went wrong inside stay in the log.

mod body;

use std::time::Duration;

use axum::http::StatusCode;
use detcon_core::image::ImageError;

pub(crate) use body::ProblemBody;

use crate::fetch::FetchError;

/// What is wrong with a request, or with the server while it answers. The text is the problem's `detail`: what is
/// wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
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
    /// No model of that name.
    #[error("No model is called {name:?}: GET /v1/models lists what is served.")]
    UnknownModel {
        /// As it was asked for.
        name: String,
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
    /// No model was named and there is no default.
    #[error("Several models are served, so say which: model=NAME (GET /v1/models lists them).")]
    ModelNotNamed,
    /// No model was named and none is served.
    #[error("No model is served: GET /v1/models says why.")]
    NothingServed,
    /// A model that is still being checked.
    #[error("The model {name:?} is being loaded: try again shortly.")]
    ModelLoading {
        /// The model.
        name: String,
    },
    /// A model that failed its checks.
    #[error("The model {name:?} is not served: {reason}.")]
    ModelRefused {
        /// The model.
        name: String,
        /// What is wrong with it.
        reason: String,
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
    /// A model without what was asked for.
    #[error("The model {name:?} has no {what}.")]
    ModelLacks {
        /// The model.
        name: String,
        /// What was asked for, and how a model comes by it.
        what: &'static str,
    },
    /// A segmentation head that the model does not have.
    #[error("The model {model:?} has no head {name:?}: it has {known}.")]
    UnknownHead {
        /// As it was asked for.
        name: String,
        /// The model.
        model: String,
        /// Those it has.
        known: String,
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
    /// A change of the store where none is allowed.
    #[error("The models of this server cannot be changed: start it with --allow-uploads.")]
    UploadsOff,
    /// An upload longer than the limit.
    #[error("The upload is longer than {limit} bytes: --max-upload-bytes is the server's limit.")]
    UploadTooLarge {
        /// Longest upload.
        limit: u64,
    },
    /// An upload that is not what its client says.
    #[error("The upload has the SHA-256 {found}, not {expected}: send it again.")]
    DigestMismatch {
        /// As the client says.
        expected: String,
        /// Of what arrived.
        found: String,
    },
    /// An upload that no model can be made of.
    #[error("Nothing was stored: {reason}.")]
    ModelInvalid {
        /// What is wrong with it.
        reason: String,
    },
    /// An upload under the name of a model that is there.
    #[error("The model {name:?} exists: give another name, or ?replace=true to replace it.")]
    ModelExists {
        /// Its name.
        name: String,
    },
    /// A change of a model that is no longer what the client believes.
    #[error(
        "The model {name:?} is not the one that If-Match names: /v1/models/{name}/files has its digest."
    )]
    PreconditionFailed {
        /// Its name.
        name: String,
    },
    /// No room for an upload.
    #[error("The server's disk is full: nothing was stored.")]
    StorageFull,
    /// A change that the store elsewhere did not take.
    #[error(
        "The store of the models did not take the change: try again. The server's log says why."
    )]
    StoreUnreachable,
    /// An upload that is not known, or no longer.
    #[error("There is no import {id:?}: /v1/imports lists those since the server's start.")]
    UnknownImport {
        /// As it was asked for.
        id: String,
    },
    /// A file that the model does not have.
    #[error("The model has no file {path:?}: /v1/models/NAME/files lists those it has.")]
    UnknownFile {
        /// As it was asked for.
        path: String,
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

/// A row of the table: status, type, title.
struct Row(u16, &'static str, &'static str);

impl Problem {
    /// The table.
    const fn row(&self) -> Row {
        match self {
            Self::Image { source, .. } => image_row(source),
            Self::EmptyBody => Row(400, "empty-body", "Empty body"),
            Self::NoImage { .. } => Row(400, "no-image", "No image"),
            Self::TooManyImages { .. } => Row(413, "too-many-images", "Too many images"),
            Self::BodyTooLarge { .. } => Row(413, "body-too-large", "Body too large"),
            Self::BodyIncomplete => Row(400, "body-incomplete", "Body incomplete"),
            Self::NotFetched { .. } => Row(422, "image-not-fetched", "Image not fetched"),
            Self::MissingContentType => Row(415, "missing-content-type", "Content-Type missing"),
            Self::UnsupportedMediaType { .. } => {
                Row(415, "unsupported-media-type", "Content-Type not read")
            }
            Self::UnsupportedEncoding { .. } => Row(
                415,
                "unsupported-content-encoding",
                "Content-Encoding not read",
            ),
            Self::NotAcceptable { .. } => Row(406, "not-acceptable", "Nothing acceptable"),
            Self::UnknownModel { .. } => Row(404, "unknown-model", "Unknown model"),
            Self::UnknownVersion { .. } => Row(404, "unknown-version", "Unknown version"),
            Self::UnknownRevision { .. } => Row(404, "unknown-revision", "Unknown revision"),
            Self::ModelNotNamed => Row(400, "model-not-named", "Model not named"),
            Self::NothingServed => Row(503, "nothing-served", "No model served"),
            // The request is right and the server cannot do it: repaired, the same request is answered.
            Self::ModelLoading { .. } => Row(503, "model-loading", "Model loading"),
            Self::ModelRefused { .. } => Row(503, "model-refused", "Model refused"),
            Self::UnknownField { .. } => Row(400, "unknown-field", "Unknown field"),
            Self::InvalidField { .. } => Row(400, "invalid-field", "Invalid field"),
            Self::Mask { .. } => Row(422, "mask", "Mask not usable"),
            Self::Segmentation { .. } => Row(422, "segmentation", "Segmentation not possible"),
            Self::ModelLacks { .. } => Row(422, "model-lacks", "Model lacks what was asked for"),
            Self::UnknownHead { .. } => Row(404, "unknown-head", "Unknown head"),
            Self::MalformedJson { .. } => Row(400, "malformed-json", "Malformed JSON"),
            Self::MalformedMultipart { .. } => {
                Row(400, "malformed-multipart", "Malformed multipart")
            }
            Self::NotFound { .. } => Row(404, "not-found", "Not found"),
            Self::MethodNotAllowed { .. } => Row(405, "method-not-allowed", "Method not allowed"),
            Self::UploadsOff => Row(403, "uploads-off", "Uploads are off"),
            Self::UploadTooLarge { .. } => Row(413, "upload-too-large", "Upload too large"),
            Self::DigestMismatch { .. } => Row(422, "digest-mismatch", "Digest does not match"),
            Self::ModelInvalid { .. } => Row(422, "model-invalid", "No model can be made of it"),
            Self::ModelExists { .. } => Row(409, "model-exists", "Model exists"),
            Self::PreconditionFailed { .. } => {
                Row(412, "precondition-failed", "Precondition failed")
            }
            Self::StorageFull => Row(507, "storage-full", "Disk full"),
            Self::StoreUnreachable => Row(502, "store-unreachable", "Store not reached"),
            Self::UnknownImport { .. } => Row(404, "unknown-import", "Unknown import"),
            Self::UnknownFile { .. } => Row(404, "unknown-file", "Unknown file"),
            Self::RangeNotSatisfiable { .. } => {
                Row(416, "range-not-satisfiable", "Range not satisfiable")
            }
            Self::RequestTimeout { .. } => Row(408, "request-timeout", "Request timeout"),
            // The client's own wish, unlike 504.
            Self::Expired { .. } => Row(408, "expired", "Time of the request up"),
            Self::KeyMissing => Row(401, "key-missing", "API key missing"),
            Self::KeyUnknown => Row(401, "key-unknown", "API key not known"),
            Self::KeyNotAllowed { .. } => Row(403, "key-not-allowed", "API key not sufficient"),
            Self::Overloaded { .. } => Row(503, "overloaded", "Server overloaded"),
            Self::Timeout { .. } => Row(504, "timeout", "No answer in time"),
            Self::ShuttingDown => Row(503, "shutting-down", "Server shutting down"),
            Self::Engine => Row(500, "engine", "Inference failed"),
            Self::Internal => Row(500, "internal", "Internal error"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The type, as `urn:detcon:problem:SLUG` ends.
    #[must_use]
    pub(crate) const fn slug(&self) -> &'static str {
        self.row().1
    }

    /// The field at fault, where one is.
    fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownField { field, .. } | Self::InvalidField { field, .. } => Some(field),
            Self::UnknownModel { .. }
            | Self::ModelNotNamed
            | Self::NothingServed
            | Self::ModelLoading { .. }
            | Self::ModelRefused { .. } => Some("model"),
            Self::UnknownHead { .. } => Some("method"),
            Self::Image { .. }
            | Self::NotFetched { .. }
            | Self::NoImage { .. }
            | Self::TooManyImages { .. } => Some("input"),
            _ => None,
        }
    }

    /// How to say who one is, where that is what is missing (RFC 9110, 11.6.1).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::KeyMissing => Some("Bearer realm=\"detcon\""),
            Self::KeyUnknown => Some("Bearer realm=\"detcon\", error=\"invalid_token\""),
            Self::KeyNotAllowed { .. } => {
                Some("Bearer realm=\"detcon\", error=\"insufficient_scope\"")
            }
            _ => None,
        }
    }

    /// How much there is, where too much was asked for (RFC 9110, 15.5.17).
    fn content_range(&self) -> Option<String> {
        match self {
            Self::RangeNotSatisfiable { bytes } => Some(format!("bytes */{bytes}")),
            _ => None,
        }
    }

    /// Seconds after which to try again, where that may help.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after } => Some(seconds(*retry_after)),
            Self::ModelLoading { .. } => Some(1),
            _ => None,
        }
    }
}

/// Whole seconds to wait, rounded up: never so few that the client comes too early.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Rows of what can be wrong with an image.
const fn image_row(error: &ImageError) -> Row {
    match error {
        ImageError::Empty => Row(400, "empty-image", "Empty image"),
        ImageError::UnknownFormat => Row(422, "not-an-image", "Not an image"),
        ImageError::TooManyBytes { .. } | ImageError::TooLarge { .. } => {
            Row(413, "image-too-large", "Image too large")
        }
        ImageError::Truncated { .. } => Row(422, "image-truncated", "Image truncated"),
        ImageError::Unsupported { .. } => Row(422, "image-unsupported", "Image not supported"),
        // Damaged, or in a way that is yet to get a row.
        _ => Row(422, "image-corrupt", "Image damaged"),
    }
}

#[cfg(test)]
mod tests;
