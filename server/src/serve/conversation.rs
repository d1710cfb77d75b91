//! What is under way on a connection, and for how long it has stood still: every connection's requests and answers pass
//! here, whatever their route.
//!
//! A client of HTTP/1 that takes nothing blocks its connection, whose writes have a deadline. One of HTTP/2 blocks a
//! stream alone and goes on answering pings, so each stream has a deadline of its own, and a connection without requests
//! is over after a while. A head that has begun has less time than a connection that waits for its next request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Version;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

    fn stands(&self) -> bool {
        self.0.borrow().is_some()
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
    requests: Arc<Mutex<Requests>>,
    /// Since when there has been none.
    idle: Standstill,
    /// Since when the head of the next has not been whole.
    head: Standstill,
}

#[derive(Debug, Default)]
struct Requests {
    under_way: usize,
    /// Whether they are streams of HTTP/2, whose clients send pings between them.
    streams: bool,
}

/// A request whose answer is not yet taken.
struct UnderWay(Conversation);

impl Conversation {
    /// One without a request yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            requests: Arc::default(),
            idle: Standstill::new(Some(now)),
            head: Standstill::new(Some(now)),
        }
    }

    /// Resolves when there has been no request for so long.
    pub(super) async fn idle(&self, wait: Duration) {
        self.idle.lasted(wait).await;
    }

    /// Resolves when the head of a request has been under way for so long; the first one's from the beginning.
    pub(super) async fn head(&self, wait: Duration) {
        self.head.lasted(wait).await;
    }

    /// The same stream, heard: what comes where no request is under way is the head of one.
    pub(super) fn hear<S>(&self, stream: S) -> Heard<S> {
        let conversation = self.clone();
        Heard {
            stream,
            conversation,
        }
    }

    fn heard(&self) {
        let requests = self.requests.lock();
        let requests = requests.unwrap_or_else(PoisonError::into_inner);
        if requests.under_way == 0 && !requests.streams && !self.head.stands() {
            self.head.set(Some(Instant::now()));
        }
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
        let under_way = self.begin(request.version());
        let response = router.oneshot(request.map(Body::new)).await?;
        Ok(response.map(|body| {
            Body::new(Taken {
                body,
                rest: Bytes::new(),
                _under_way: under_way,
            })
        }))
    }

    fn begin(self, version: Version) -> UnderWay {
        self.change(|requests| {
            requests.under_way += 1;
            requests.streams = version == Version::HTTP_2;
        });
        self.head.set(None);
        UnderWay(self)
    }

    fn change(&self, change: impl FnOnce(&mut Requests)) {
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        change(&mut requests);
        self.idle.set((requests.under_way == 0).then(Instant::now));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|requests| requests.under_way -= 1);
    }
}

pin_project! {
    /// A stream that tells its conversation when something came.
    #[derive(Debug)]
    pub(super) struct Heard<S> {
        #[pin]
        stream: S,
        conversation: Conversation,
    }
}

impl<S: AsyncRead> AsyncRead for Heard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (this, before) = (self.project(), buffer.filled().len());
        ready!(this.stream.poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            this.conversation.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite> AsyncWrite for Heard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.project().stream.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().stream.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().stream.poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.project().stream.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
