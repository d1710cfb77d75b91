//! Reading a body: never more than the limit in memory, never longer than the limit in time, and never more of all
//! requests together than there is memory for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;
use super::image_fetch::Fetcher;

/// First allocation for a body that says its length: a lie costs no more than this.
const FIRST_ALLOCATION: usize = 1 << 20;
/// Memory is counted in units of this many bytes.
const UNIT: usize = 4096;
/// When a request that found no memory may try again: bodies are read in less.
const MEMORY_RETRY: Duration = Duration::from_secs(1);

/// What a request may hold.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Longest body, in bytes.
    pub(crate) bytes: usize,
    /// Most images.
    pub(crate) images: usize,
    /// Longest wait for the body.
    pub(crate) timeout: Duration,
    /// For the bodies of all requests.
    pub(crate) memory: BodyMemory,
    /// Gets images that are named by their address.
    pub(crate) fetcher: Fetcher,
}

/// Memory for the bodies of all requests together.
#[derive(Clone, Debug)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// Room for `bytes`.
    #[must_use]
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS),
        )))
    }
}

/// A body and its share of the memory, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// A share of the memory for bodies.
pub(crate) type Share = Option<OwnedSemaphorePermit>;

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
) -> Result<Held, Problem> {
    let length = content_length(headers);
    if length.is_some_and(|length| length > limits.bytes) && headers.contains_key(header::EXPECT) {
        // The client has sent nothing yet and waits for leave to.
        return Err(Problem::BodyTooLarge {
            limit: limits.bytes,
        });
    }
    let late = |_| Problem::RequestTimeout {
        seconds: limits.timeout.as_secs(),
    };
    let read = tokio::time::timeout(limits.timeout, collect(length, &mut body, limits));
    read.await.map_err(late)?
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

async fn collect(length: Option<usize>, body: &mut Body, limits: &Limits) -> Result<Held, Problem> {
    let too_large = Problem::BodyTooLarge {
        limit: limits.bytes,
    };
    if length.is_some_and(|length| length > limits.bytes) {
        return Err(too_large);
    }
    let mut bytes = BytesMut::with_capacity(length.unwrap_or_default().min(FIRST_ALLOCATION));
    let mut share = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::BodyIncomplete)?;
        if let Some(data) = frame.data_ref() {
            if data.len() > limits.bytes - bytes.len() {
                return Err(too_large);
            }
            grow(&mut share, bytes.len() + data.len(), &limits.memory)?;
            bytes.extend_from_slice(data);
        }
    }
    Ok(Held {
        bytes: bytes.freeze(),
        share,
    })
}

/// A body piece by piece, each of which has to come in so long a time.
pub(crate) fn pieces(
    body: &mut Body,
    wait: Duration,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold(body, move |body| async move {
        loop {
            let late = |_| Problem::RequestTimeout {
                seconds: wait.as_secs(),
            };
            let frame = tokio::time::timeout(wait, body.frame()).await;
            let piece = match frame.map_err(late) {
                Err(problem) => Err(problem),
                Ok(None) => return None,
                Ok(Some(Err(_))) => Err(Problem::BodyIncomplete),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => Ok(piece),
                    Err(_trailers) => continue,
                },
            };
            return Some((piece, body));
        }
    })
}

/// Makes a share as large as a body of `bytes` needs.
pub(super) fn grow(share: &mut Share, bytes: usize, memory: &BodyMemory) -> Result<(), Problem> {
    let full = || Problem::Overloaded {
        retry_after: MEMORY_RETRY,
    };
    let has = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = bytes.div_ceil(UNIT).saturating_sub(has);
    if missing == 0 {
        return Ok(());
    }
    let count = u32::try_from(missing).map_err(|_| full())?;
    let more = Arc::clone(&memory.0)
        .try_acquire_many_owned(count)
        .map_err(|_| full())?;
    match share {
        Some(share) => share.merge(more),
        None => *share = Some(more),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(bytes: usize, memory: usize) -> Limits {
        Limits {
            bytes,
            images: 1,
            timeout: Duration::from_mins(1),
            memory: BodyMemory::new(memory),
            fetcher: Fetcher::default(),
        }
    }

    async fn take(length: usize, limits: &Limits) -> Result<Held, Problem> {
        read(&HeaderMap::new(), Body::from(vec![7; length]), limits).await
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let limits = limits(10_000, 1 << 20);
        assert_eq!(take(10_000, &limits).await.unwrap().bytes.len(), 10_000);
        let refused = take(10_001, &limits).await.unwrap_err();
        assert_eq!(refused, Problem::BodyTooLarge { limit: 10_000 });
    }

    #[tokio::test]
    async fn bodies_together_take_no_more_memory_than_there_is_and_give_it_back() {
        let limits = limits(10 * UNIT, 10 * UNIT);
        let held = take(6 * UNIT, &limits).await.unwrap();
        let refused = take(5 * UNIT, &limits).await.unwrap_err();
        assert_eq!(
            refused,
            Problem::Overloaded {
                retry_after: MEMORY_RETRY
            }
        );
        let small = take(4 * UNIT, &limits).await.unwrap();
        drop((held, small));
        assert!(take(10 * UNIT, &limits).await.is_ok());
    }

    #[tokio::test]
    async fn a_client_that_waits_for_leave_to_send_too_much_is_refused_at_once() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 11.into());
        headers.insert(header::EXPECT, "100-continue".parse().unwrap());
        let never =
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&headers, never, &limits(10, 1 << 20))
            .await
            .unwrap_err();
        assert_eq!(refused, Problem::BodyTooLarge { limit: 10 });
    }

    async fn last(mut body: Body) -> Option<Result<Bytes, Problem>> {
        use futures_util::StreamExt as _;
        let pieces = std::pin::pin!(pieces(&mut body, Duration::from_millis(50)));
        let pieces: Vec<_> = pieces.take(3).collect().await;
        pieces.into_iter().last()
    }

    #[tokio::test]
    async fn pieces_of_a_body_that_breaks_off_or_stops_are_told() {
        use futures_util::StreamExt as _;
        let piece = Ok::<_, std::io::Error>(Bytes::from("01"));
        let whole = Body::from_stream(stream::iter([piece]));
        assert_eq!(last(whole).await, Some(Ok(Bytes::from("01"))));
        let breaks = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from("01")), breaks]));
        assert_eq!(last(broken).await, Some(Err(Problem::BodyIncomplete)));
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let stopped = Body::from_stream(never.take(1));
        let late = Problem::RequestTimeout { seconds: 0 };
        assert_eq!(last(stopped).await, Some(Err(late)));
    }
}
