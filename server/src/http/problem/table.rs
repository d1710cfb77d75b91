//! The table: status, type and title of every problem, and what else its answer says.

use axum::http::StatusCode;
use detcon_core::image::ImageError;

use super::{Problem, seconds};
use crate::models::ModelsError;

/// A row of the table: status, type, title.
pub(super) struct Row(
    pub(super) u16,
    pub(super) &'static str,
    pub(super) &'static str,
);

impl Problem {
    /// The table.
    pub(super) const fn row(&self) -> Row {
        match self {
            Self::Image { source, .. } => image_row(source),
            Self::Models(error) => models_row(error),
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
            Self::UnknownVersion { .. } => Row(404, "unknown-version", "Unknown version"),
            Self::UnknownRevision { .. } => Row(404, "unknown-revision", "Unknown revision"),
            Self::UnknownField { .. } => Row(400, "unknown-field", "Unknown field"),
            Self::InvalidField { .. } => Row(400, "invalid-field", "Invalid field"),
            Self::Mask { .. } => Row(422, "mask", "Mask not usable"),
            Self::Segmentation { .. } => Row(422, "segmentation", "Segmentation not possible"),
            Self::MalformedJson { .. } => Row(400, "malformed-json", "Malformed JSON"),
            Self::MalformedMultipart { .. } => {
                Row(400, "malformed-multipart", "Malformed multipart")
            }
            Self::NotFound { .. } => Row(404, "not-found", "Not found"),
            Self::MethodNotAllowed { .. } => Row(405, "method-not-allowed", "Method not allowed"),
            Self::RangeNotSatisfiable { .. } => {
                Row(416, "range-not-satisfiable", "Range not satisfiable")
            }
            Self::RequestTimeout { .. } => Row(408, "request-timeout", "Request timeout"),
            // The client's own wish, unlike 504.
            Self::Expired { .. } => Row(408, "expired", "Time of the request up"),
            Self::KeyMissing => Row(401, "key-missing", "API key missing"),
            Self::KeyUnknown => Row(401, "key-unknown", "API key not known"),
            Self::KeyNotAllowed { .. } => Row(403, "key-not-allowed", "API key not sufficient"),
            Self::InputTooLarge { .. } => Row(413, "input-too-large", "Input too large"),
            Self::AnswerTooLarge { .. } => Row(413, "answer-too-large", "Answer too large"),
            Self::WorkTooLarge { .. } => Row(413, "work-too-large", "Work too large"),
            Self::CrossSite => Row(403, "cross-site", "Asked for by another site"),
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
    pub(super) fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownField { field, .. } | Self::InvalidField { field, .. } => Some(field),
            Self::Models(
                ModelsError::Unknown { .. }
                | ModelsError::NotNamed
                | ModelsError::NothingServed
                | ModelsError::Loading { .. }
                | ModelsError::Refused { .. },
            ) => Some("model"),
            Self::Models(ModelsError::UnknownHead { .. }) => Some("method"),
            Self::Image { .. }
            | Self::NotFetched { .. }
            | Self::NoImage { .. }
            | Self::TooManyImages { .. } => Some("input"),
            _ => None,
        }
    }

    /// How to say who one is, where that is what is missing (RFC 9110, 11.6.1).
    pub(super) fn challenge(&self) -> Option<&'static str> {
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
    pub(super) fn content_range(&self) -> Option<String> {
        match self {
            Self::RangeNotSatisfiable { bytes } => Some(format!("bytes */{bytes}")),
            _ => None,
        }
    }

    /// Seconds after which to try again, where that may help.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after } => Some(seconds(*retry_after)),
            Self::Models(ModelsError::Loading { .. }) => Some(1),
            _ => None,
        }
    }
}

/// Rows of why a model cannot be had or changed.
const fn models_row(error: &ModelsError) -> Row {
    match error {
        ModelsError::Unknown { .. } => Row(404, "unknown-model", "Unknown model"),
        ModelsError::NotNamed => Row(400, "model-not-named", "Model not named"),
        ModelsError::NothingServed => Row(503, "nothing-served", "No model served"),
        // The request is right and the server cannot do it: repaired, the same request is answered.
        ModelsError::Loading { .. } => Row(503, "model-loading", "Model loading"),
        ModelsError::Refused { .. } => Row(503, "model-refused", "Model refused"),
        ModelsError::Lacks { .. } => Row(422, "model-lacks", "Model lacks what was asked for"),
        ModelsError::UnknownHead { .. } => Row(404, "unknown-head", "Unknown head"),
        ModelsError::UploadsOff => Row(403, "uploads-off", "Uploads are off"),
        ModelsError::UploadTooLarge { .. } => Row(413, "upload-too-large", "Upload too large"),
        ModelsError::DigestMismatch { .. } => Row(422, "digest-mismatch", "Digest does not match"),
        ModelsError::Invalid { .. } => Row(422, "model-invalid", "No model can be made of it"),
        ModelsError::Exists { .. } => Row(409, "model-exists", "Model exists"),
        ModelsError::PreconditionFailed { .. } => {
            Row(412, "precondition-failed", "Precondition failed")
        }
        ModelsError::StorageFull => Row(507, "storage-full", "Disk full"),
        ModelsError::StoreUnreachable => Row(502, "store-unreachable", "Store not reached"),
        ModelsError::UnknownImport { .. } => Row(404, "unknown-import", "Unknown import"),
        ModelsError::UnknownFile { .. } => Row(404, "unknown-file", "Unknown file"),
        ModelsError::Busy { .. } => Row(503, "overloaded", "Server overloaded"),
        ModelsError::Internal => Row(500, "internal", "Internal error"),
    }
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
        ImageError::Unsupported { .. } | ImageError::OtherFormat { .. } => {
            Row(422, "image-unsupported", "Image not supported")
        }
        // Damaged, or in a way that is yet to get a row.
        _ => Row(422, "image-corrupt", "Image damaged"),
    }
}
