//! Reading a body: never more than the limit in memory, never longer than the limit in time, and never more of all
//! requests together than there is memory for.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;

use super::Problem;
use super::image_fetch::Fetcher;
use crate::engine::{Memory, Share};

/// First allocation for a body that says its length: a lie costs no more than this.
const FIRST_ALLOCATION: usize = 1 << 20;

/// How many times its own length a body takes while parts, or images in JSON, are read out of it: itself, what the
/// reader keeps of it (a part's unread bytes, a text without its escapes), and what comes out.
pub(crate) const READING: u64 = 3;

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
    pub(crate) memory: Memory,
    /// Gets images that are named by their address.
    pub(crate) fetcher: Fetcher,
}

/// A body and its share of the memory, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

impl Held {
    /// Makes the share large enough for what reading takes.
    pub(crate) fn reserve_for_reading(&mut self, limits: &Limits) -> Result<(), Problem> {
        let bytes = self.bytes.len() as u64 * READING;
        Ok(limits.memory.grow(&mut self.share, bytes)?)
    }
}

/// The whole body.
pub(crate) async fn read(
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
    let mut share = Share::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::BodyIncomplete)?;
        if let Some(data) = frame.data_ref() {
            if data.len() > limits.bytes - bytes.len() {
                return Err(too_large);
            }
            let length = bytes.len() + data.len();
            limits.memory.grow(&mut share, length as u64)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: usize = 4096;

    fn limits(bytes: usize, memory: usize) -> Limits {
        Limits {
            bytes,
            images: 1,
            timeout: Duration::from_mins(1),
            memory: Memory::new(memory as u64),
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
        assert_eq!(refused.status(), 503);
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
