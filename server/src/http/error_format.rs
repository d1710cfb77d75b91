//! The shapes of errors that protocols have of their own: what a handler refuses is a [`Problem`] everywhere, and on
//! the protocols' paths it is sent as their clients read it. What stands in front of the handlers (keys, paths that do
//! not exist) is refused in the same shapes.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::Problem;
use crate::models::ModelsError;

/// Kind of an error, as the Hugging Face Hub names them.
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
/// What is wrong, for clients of the Hub.
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");

/// An error of the Open Inference Protocol.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct InferenceError {
    /// What is wrong and what to do.
    error: String,
}

/// Who reads the errors of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorFormat {
    /// RFC 9457's, with OpenAI's member.
    Problem,
    /// `{"error": …}`.
    OpenInference,
    /// RFC 9457's, with the Hub's headers.
    Hub,
}

impl ErrorFormat {
    fn of(path: &str) -> Self {
        if path == "/v2" || path.starts_with("/v2/") {
            Self::OpenInference
        } else if path.starts_with("/api/models") || path.contains("/resolve/") {
            Self::Hub
        } else {
            Self::Problem
        }
    }
}

/// Media type and schema of the errors of a path, as the OpenAPI document has them.
pub(crate) fn documented(path: &str) -> (&'static str, &'static str) {
    match ErrorFormat::of(path) {
        ErrorFormat::OpenInference => ("application/json", "InferenceError"),
        ErrorFormat::Problem | ErrorFormat::Hub => ("application/problem+json", "Problem"),
    }
}

/// Sends problems as the clients of their path read them.
pub(crate) async fn errors(request: Request, next: Next) -> Response {
    let shape = ErrorFormat::of(request.uri().path());
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>().cloned();
    match (problem, shape) {
        (None, _) | (Some(_), ErrorFormat::Problem) => response,
        (Some(problem), ErrorFormat::OpenInference) => open_inference(&problem, response),
        (Some(problem), ErrorFormat::Hub) => hub(&problem, response),
    }
}

fn open_inference(problem: &Problem, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    for header in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(header);
    }
    let error = problem.to_string();
    (parts, Json(InferenceError { error })).into_response()
}

fn hub(problem: &Problem, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Some(code) = hub_code(problem) {
        headers.insert(ERROR_CODE, HeaderValue::from_static(code));
    }
    if let Ok(message) = HeaderValue::from_str(&problem.to_string()) {
        headers.insert(ERROR_MESSAGE, message);
    }
    response
}

/// What the Hub calls a problem, where its clients have an exception of their own for it.
fn hub_code(problem: &Problem) -> Option<&'static str> {
    match problem {
        Problem::Models(ModelsError::Unknown { .. }) => Some("RepoNotFound"),
        Problem::UnknownRevision { .. } => Some("RevisionNotFound"),
        Problem::Models(ModelsError::UnknownFile { .. }) | Problem::NotFound { .. } => {
            Some("EntryNotFound")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_of_their_path() {
        for (path, shape) in [
            ("/v2", ErrorFormat::OpenInference),
            ("/v2/models/x/infer", ErrorFormat::OpenInference),
            ("/v22", ErrorFormat::Problem),
            ("/v1/models", ErrorFormat::Problem),
            ("/api/models/detcon/x", ErrorFormat::Hub),
            ("/detcon/x/resolve/main/config.json", ErrorFormat::Hub),
        ] {
            assert_eq!(ErrorFormat::of(path), shape, "{path}");
        }
    }
}
