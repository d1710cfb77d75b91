//! Reading a body: never more than the limit in memory, never longer than the limit in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::Limits;
use crate::problem::Problem;

/// How long what is beyond the limit is read and thrown away, so that a client which is still sending sees the
/// answer instead of a broken connection.
const DRAIN: Duration = Duration::from_secs(5);
/// First allocation for a body that says its length: a lie costs no more than this.
const FIRST_ALLOCATION: usize = 1 << 20;

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
) -> Result<Bytes, Problem> {
    let late = |_| Problem::RequestTimeout {
        seconds: limits.timeout.as_secs(),
    };
    let read = tokio::time::timeout(limits.timeout, collect(headers, &mut body, limits.bytes));
    let bytes = read.await.map_err(late)?;
    if matches!(bytes, Err(Problem::BodyTooLarge { .. })) {
        // Whether it ends in time or not, the answer is the same.
        let _ = tokio::time::timeout(DRAIN, async {
            while let Some(Ok(_)) = body.frame().await {}
        })
        .await;
    }
    bytes
}

async fn collect(headers: &HeaderMap, body: &mut Body, limit: usize) -> Result<Bytes, Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(Problem::BodyTooLarge { limit });
    }
    let mut bytes = BytesMut::with_capacity(length.unwrap_or_default().min(FIRST_ALLOCATION));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::BodyIncomplete)?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(Problem::BodyTooLarge { limit });
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}
