//! What is under way on a connection, and for how long it has stood still: every connection's requests and answers pass
//! here, whatever their route.
//!
//! A client of HTTP/1 that takes nothing blocks its connection, whose writes have a deadline. One of HTTP/2 blocks a
//! stream alone and goes on answering pings, so each stream has a deadline of its own, and a connection without requests
//! is over after a while.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// Most of an answer that is handed on at once: what a stream of HTTP/2 that takes nothing has of it in memory twice.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// Of the stream whose answer is being sent.
    static STREAM: Standstill;
}

/// Since when something stands still, if it does.
#[derive(Clone, Debug)]
struct Standstill(Arc<watch::Sender<Option<Instant>>>);

impl Standstill {
    fn new(since: Option<Instant>) -> Self {
        Self(Arc::new(watch::Sender::new(since)))
    }

    fn set(&self, since: Option<Instant>) {
        self.0.send_replace(since);
    }

    /// Resolves when it has stood still for so long.
    async fn lasted(&self, wait: Duration) {
        let mut changes = self.0.subscribe();
        loop {
            let since = *changes.borrow_and_update();
            // The sender is here, so every wait ends in a change.
            match since {
                None => {
                    let _ = changes.changed().await;
                }
                Some(since) => {
                    let moved = tokio::time::timeout_at(since + wait, changes.changed());
                    if moved.await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The requests of a connection.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    under_way: Arc<Mutex<usize>>,
    idle: Standstill,
}

/// A request whose answer is not yet taken.
struct UnderWay(Conversation);

impl Conversation {
    /// One without a request yet.
    pub(super) fn new() -> Self {
        Self {
            under_way: Arc::default(),
            idle: Standstill::new(Some(Instant::now())),
        }
    }

    /// Resolves when there has been no request for so long.
    pub(super) async fn idle(&self, wait: Duration) {
        self.idle.lasted(wait).await;
    }

    /// The answer of `router`.
    pub(super) async fn answer<B>(
        self,
        router: Router,
        request: Request<B>,
    ) -> Result<Response, std::convert::Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        let under_way = self.begin();
        let response = router.oneshot(request.map(Body::new)).await?;
        Ok(response.map(|body| {
            Body::new(Taken {
                body,
                rest: Bytes::new(),
                _under_way: under_way,
            })
        }))
    }

    fn begin(self) -> UnderWay {
        self.count(|under_way| under_way + 1);
        UnderWay(self)
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *under_way = change(*under_way);
        self.idle.set((*under_way == 0).then(Instant::now));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.count(|under_way| under_way - 1);
    }
}

/// An answer on its way to the client, in small pieces: the next is asked for when the client has taken of the one before.
struct Taken {
    body: Body,
    rest: Bytes,
    _under_way: UnderWay,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let stands = |since| STREAM.try_with(|stream| stream.set(since));
        // Whatever happens now, the client has taken something. (Without a stream there is nobody to tell.)
        let _ = stands(None);
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(length);
        let _ = stands(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

/// Runs the streams of HTTP/2, each until its client has taken nothing for so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// How long.
    pub(super) wait: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (wait, stands) = (self.wait, Standstill::new(None));
        let stream = STREAM.scope(stands.clone(), stream.map(drop));
        tokio::spawn(async move {
            tokio::select! {
                () = stream => {}
                // Dropped, it is reset.
                () = stands.lasted(wait) => tracing::debug!("a client took nothing of its answer"),
            }
        });
    }
}
