//! Every error that a client can see: one table of status, type and title, sent as RFC 9457 problem+json.
//!
//! Details of what went wrong inside stay in the log.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use detcon_core::image::ImageError;
use serde::Serialize;

/// What is wrong with a request, or with the server while it answers. The text is the problem's `detail`: what is
/// wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
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
    /// No representation that the client accepts.
    #[error(
        "Nothing here is {accept}: accept application/json, application/x-npy or application/safetensors."
    )]
    NotAcceptable {
        /// As it was sent.
        accept: String,
    },
    /// No model of that name.
    #[error("No model is called {name:?}: GET /v1/models lists what is served.")]
    UnknownModel {
        /// As it was asked for.
        name: String,
    },
    /// No model was named and there is no default.
    #[error("Several models are served, so say which: model=NAME (GET /v1/models lists them).")]
    ModelNotNamed,
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
    #[error("{field}: {detail}")]
    InvalidField {
        /// The field.
        field: String,
        /// What is wrong with its value.
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
    /// A client that does not send what it promised.
    #[error("The body did not arrive within {seconds} s: send it faster, or in parts.")]
    RequestTimeout {
        /// How long the server waited.
        seconds: u64,
    },
    /// All places in the queue are taken.
    #[error("The server is at its limit: try again in {} s.", retry_after.as_secs().max(1))]
    Overloaded {
        /// When there should be room.
        retry_after: Duration,
    },
    /// No answer in time.
    #[error("There was no answer within {seconds} s: try again, with fewer images at once.")]
    Timeout {
        /// How long the request was worked on.
        seconds: u64,
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

/// A row of the table.
struct Row(StatusCode, &'static str, &'static str);

impl Problem {
    /// Status, type and title.
    const fn row(&self) -> Row {
        match self {
            Self::EmptyBody => Row(StatusCode::BAD_REQUEST, "empty-body", "Empty body"),
            Self::NoImage { .. } => Row(StatusCode::BAD_REQUEST, "no-image", "No image"),
            Self::TooManyImages { .. } => Row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-many-images",
                "Too many images",
            ),
            Self::BodyTooLarge { .. } => Row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
            ),
            Self::BodyIncomplete => Row(
                StatusCode::BAD_REQUEST,
                "body-incomplete",
                "Body incomplete",
            ),
            Self::Image { source, .. } => image_row(source),
            Self::MissingContentType => Row(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "missing-content-type",
                "Content-Type missing",
            ),
            Self::UnsupportedMediaType { .. } => Row(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Content-Type not supported",
            ),
            Self::NotAcceptable { .. } => Row(
                StatusCode::NOT_ACCEPTABLE,
                "not-acceptable",
                "Nothing acceptable",
            ),
            Self::UnknownModel { .. } => {
                Row(StatusCode::NOT_FOUND, "unknown-model", "Unknown model")
            }
            Self::ModelNotNamed => Row(
                StatusCode::BAD_REQUEST,
                "model-not-named",
                "Model not named",
            ),
            Self::ModelLoading { .. } => Row(
                StatusCode::SERVICE_UNAVAILABLE,
                "model-loading",
                "Model loading",
            ),
            Self::ModelRefused { .. } => Row(
                StatusCode::SERVICE_UNAVAILABLE,
                "model-refused",
                "Model refused",
            ),
            Self::UnknownField { .. } => {
                Row(StatusCode::BAD_REQUEST, "unknown-field", "Unknown field")
            }
            Self::InvalidField { .. } => {
                Row(StatusCode::BAD_REQUEST, "invalid-field", "Invalid field")
            }
            Self::MalformedJson { .. } => {
                Row(StatusCode::BAD_REQUEST, "malformed-json", "Malformed JSON")
            }
            Self::MalformedMultipart { .. } => Row(
                StatusCode::BAD_REQUEST,
                "malformed-multipart",
                "Malformed multipart body",
            ),
            Self::NotFound { .. } => Row(StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed { .. } => Row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::RequestTimeout { .. } => Row(
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "Request timeout",
            ),
            Self::Overloaded { .. } => Row(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Server overloaded",
            ),
            Self::Timeout { .. } => {
                Row(StatusCode::GATEWAY_TIMEOUT, "timeout", "No answer in time")
            }
            Self::ShuttingDown => Row(
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting-down",
                "Server shutting down",
            ),
            Self::Engine => Row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "engine",
                "Inference failed",
            ),
            Self::Internal => Row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.row().0
    }

    /// The type, as `urn:detcon:problem:SLUG` ends.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        self.row().1
    }

    /// The field at fault, where one is.
    fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownField { field, .. } | Self::InvalidField { field, .. } => Some(field),
            Self::UnknownModel { .. }
            | Self::ModelNotNamed
            | Self::ModelLoading { .. }
            | Self::ModelRefused { .. } => Some("model"),
            Self::Image { .. } | Self::NoImage { .. } | Self::TooManyImages { .. } => Some("input"),
            Self::EmptyBody
            | Self::BodyTooLarge { .. }
            | Self::BodyIncomplete
            | Self::MissingContentType
            | Self::UnsupportedMediaType { .. }
            | Self::NotAcceptable { .. }
            | Self::MalformedJson { .. }
            | Self::MalformedMultipart { .. }
            | Self::NotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::RequestTimeout { .. }
            | Self::Overloaded { .. }
            | Self::Timeout { .. }
            | Self::ShuttingDown
            | Self::Engine
            | Self::Internal => None,
        }
    }

    /// Seconds after which to try again, where that may help.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after } => Some(retry_after.as_secs().max(1)),
            Self::ModelLoading { .. } => Some(1),
            _ => None,
        }
    }

    /// The answer, with the member `error` that OpenAI's clients read.
    #[must_use]
    pub fn into_openai_response(self) -> Response {
        let kind = if self.status().is_server_error() {
            "server_error"
        } else {
            "invalid_request_error"
        };
        let error = OpenAiError {
            message: self.to_string(),
            kind,
            param: self.field().map(str::to_owned),
            code: self.slug(),
        };
        self.response(Some(error))
    }

    fn response(&self, error: Option<OpenAiError>) -> Response {
        let Row(status, slug, title) = self.row();
        let kind = format!("urn:detcon:problem:{slug}");
        let body = ProblemBody {
            kind,
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            error,
        };
        let json = serde_json::to_vec(&body).expect("a problem is texts and a number");
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            json,
        )
            .into_response();
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Rows of what can be wrong with an image.
const fn image_row(error: &ImageError) -> Row {
    match error {
        ImageError::Empty => Row(StatusCode::BAD_REQUEST, "empty-image", "Empty image"),
        ImageError::UnknownFormat => Row(
            StatusCode::UNPROCESSABLE_ENTITY,
            "not-an-image",
            "Not an image",
        ),
        ImageError::TooManyBytes { .. } | ImageError::TooLarge { .. } => Row(
            StatusCode::PAYLOAD_TOO_LARGE,
            "image-too-large",
            "Image too large",
        ),
        ImageError::Truncated { .. } => Row(
            StatusCode::UNPROCESSABLE_ENTITY,
            "image-truncated",
            "Image truncated",
        ),
        ImageError::Unsupported { .. } => Row(
            StatusCode::UNPROCESSABLE_ENTITY,
            "image-unsupported",
            "Kind of image not supported",
        ),
        // Damaged, or damaged in a way that is yet to get a row.
        _ => Row(
            StatusCode::UNPROCESSABLE_ENTITY,
            "image-corrupt",
            "Image damaged",
        ),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

/// RFC 9457's members.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `urn:detcon:problem:` and the problem's own name.
    #[serde(rename = "type")]
    #[schema(example = "urn:detcon:problem:unknown-model")]
    kind: String,
    /// The same for every problem of the type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// The same for OpenAI's clients, where the request was of their shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OpenAiError>,
}

/// An error as OpenAI's clients read it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OpenAiError {
    /// What is wrong and what to do.
    message: String,
    /// `invalid_request_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field at fault.
    param: Option<String>,
    /// The problem's own name.
    code: &'static str,
}
