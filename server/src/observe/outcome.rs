//! What became of a request: exactly one of these.

use axum::http::StatusCode;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// It has what it asked for.
    Answered,
    /// It was at fault, or not allowed.
    Refused,
    /// The server was at its limit, or not ready, and took it not at all.
    Shed,
    /// It took longer than it may.
    Expired,
    /// The server was at fault.
    Failed,
    /// The client left before there was an answer.
    Cancelled,
}

impl Outcome {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Answered,
        Self::Refused,
        Self::Shed,
        Self::Expired,
        Self::Failed,
        Self::Cancelled,
    ];

    /// By the status of a problem.
    pub(crate) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self::Shed,
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::Expired,
            status if status.is_server_error() => Self::Failed,
            status if status.is_client_error() => Self::Refused,
            _ => Self::Answered,
        }
    }

    /// Its name in metrics and the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Shed => "shed",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an answer that is a problem says about itself to those who count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The problem's own name.
    pub(crate) problem: &'static str,
    /// What became of the request.
    pub(crate) outcome: Outcome,
}
