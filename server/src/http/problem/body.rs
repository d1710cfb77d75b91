//! How a problem is sent: RFC 9457's members, and the member that OpenAI's clients read. Protocols with another shape
//! for errors give it theirs in `crate::http::error_format`.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Problem;
use super::table::Row;
use crate::observe::{Outcome, Refusal, RequestId};

impl Problem {
    /// The answer. Every problem has the member `error` of OpenAI's clients: they send what other clients send, so that
    /// nothing about a request tells which of the two asked.
    fn response(&self) -> Response {
        let Row(status, slug, title) = self.row();
        let kind = format!("urn:detcon:problem:{slug}");
        let body = ProblemBody {
            kind,
            title,
            status,
            detail: self.to_string(),
            request_id: RequestId::current().map(|id| id.as_str().to_owned()),
            error: OpenAiError {
                message: self.to_string(),
                kind: if status >= 500 {
                    "server_error"
                } else {
                    "invalid_request_error"
                },
                param: self.field().map(str::to_owned),
                code: self.slug(),
            },
        };
        let json = serde_json::to_vec(&body).expect("a problem is texts and a number");
        let mut response = (
            self.status(),
            [(header::CONTENT_TYPE, "application/problem+json")],
            json,
        )
            .into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let range = self.content_range().map(HeaderValue::try_from);
        if let Some(Ok(range)) = range {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        response.extensions_mut().insert(Refusal {
            problem: slug,
            outcome: Outcome::of(self.status()),
        });
        response.extensions_mut().insert(self.clone()); // for protocols whose errors have another shape
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response()
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
    /// What the request is called in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The same for OpenAI's clients.
    error: OpenAiError,
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
