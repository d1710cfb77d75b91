//! Connections: taken as they come, as many as there may be at a time, each with deadlines, and let finish at the end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::conversation::{Conversation, Streams};
use super::tls::HTTP2;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// Longest head of a request, in bytes, and twice that at the very most; HTTP/2 counts 32 more for each header.
const MAX_HEAD: usize = 64 << 10;
/// Requests that a client may have under way on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;

/// How long a connection without a request is kept when others wait for its place.
const CROWDED: Duration = Duration::from_secs(1);

/// How long connections are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the head of a request, once it has begun; for the first one's, from the beginning; and for the answer to a
    /// ping of HTTP/2.
    pub(crate) head: Duration,
    /// For the next request of a connection, of whatever version of HTTP.
    pub(crate) keep_alive: Duration,
    /// For a client to take some of its answer.
    pub(crate) write: Duration,
    /// For requests in flight, at the end.
    pub(crate) grace: Duration,
}

/// Takes connections until `shutdown`, no more than `most` at a time, then lets those that are open finish their
/// requests.
pub(crate) async fn serve(
    mut listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    (waits, most): (Waits, usize),
    shutdown: impl Future<Output = ()>,
) {
    let mut open = JoinSet::new();
    let room = Room {
        places: Arc::new(Semaphore::new(most)),
        full: watch::Sender::new(false),
    };
    let ending = watch::Sender::new(false);
    let host = || Host {
        tls: tls.clone(),
        router: router.clone(),
        waits,
        ending: ending.subscribe(),
        full: room.full.subscribe(),
    };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            (stream, place) = room.next(&mut listener) => {
                open.spawn(host().converse(stream, place));
            }
            Some(_closed) = open.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    // From here on the system refuses connections. Those that it has taken until now are ours.
    for stream in taken(listener) {
        open.spawn(host().converse(stream, None));
    }
    ending.send_replace(true);
    let finished = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(waits.grace, finished).await.is_err() {
        let grace_s = waits.grace.as_secs();
        tracing::warn!(
            grace_s,
            connections = open.len(),
            "requests were still in flight after the grace"
        );
    }
    open.shutdown().await;
}

/// A place among the connections.
type ConnectionPlace = Option<OwnedSemaphorePermit>;

/// Room for connections.
struct Room {
    places: Arc<Semaphore>,
    /// Whether somebody waits for a place: connections without a request make room.
    full: watch::Sender<bool>,
}

impl Room {
    /// The next connection, when there is a place for it.
    async fn next(&self, listener: &mut TcpListener) -> (TcpStream, ConnectionPlace) {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_full) => self.crowded().await,
        };
        // It retries what the system refuses, such as more open files than there may be.
        let (stream, _address) = Listener::accept(listener).await;
        (stream, place)
    }

    /// A place that somebody leaves.
    async fn crowded(&self) -> ConnectionPlace {
        /// Says so until somebody has the place, or waits for it no longer.
        struct Crowd<'a>(&'a watch::Sender<bool>);
        impl Drop for Crowd<'_> {
            fn drop(&mut self) {
                self.0.send_replace(false);
            }
        }
        self.full.send_replace(true);
        let _crowd = Crowd(&self.full);
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

/// The connections that wait to be accepted.
fn taken(listener: TcpListener) -> Vec<TcpStream> {
    // It does not block: accepting ends where nobody waits.
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let waiting = std::iter::from_fn(|| listener.accept().ok());
    let streams = waiting.filter_map(|(stream, _address)| {
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    });
    streams.collect()
}

/// What every connection is served with.
struct Host {
    tls: Option<TlsAcceptor>,
    router: Router,
    waits: Waits,
    /// Whether the server ends.
    ending: watch::Receiver<bool>,
    /// Whether there is room for no more connections.
    full: watch::Receiver<bool>,
}

impl Host {
    async fn converse(mut self, stream: TcpStream, _place: ConnectionPlace) {
        if let Some(tls) = self.tls.take() {
            self.over_tls(stream, &tls).await;
        } else {
            let stream = patient(stream, self.waits);
            self.connection(stream, Versions::Either).await;
        }
    }

    /// Agrees with the client on keys and a version of HTTP first.
    async fn over_tls(self, stream: TcpStream, tls: &TlsAcceptor) {
        let handshake = tls.accept(Box::pin(patient(stream, self.waits)));
        match tokio::time::timeout(self.waits.head, handshake).await {
            Ok(Ok(stream)) => {
                let versions = match stream.get_ref().1.alpn_protocol() {
                    Some(HTTP2) => Versions::Two,
                    _ => Versions::One,
                };
                self.connection(stream, versions).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
            Err(_late) => tracing::debug!("no TLS was agreed on in time"),
        }
    }

    async fn connection(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        versions: Versions,
    ) {
        let (waits, conversation) = (self.waits, Conversation::new());
        let service = {
            let (router, conversation) = (self.router, conversation.clone());
            service_fn(move |request| conversation.clone().answer(router.clone(), request))
        };
        let builder = builder(waits, versions);
        let graceful = GracefulShutdown::new();
        let stream = Box::pin(conversation.hear(stream));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(graceful.watch(connection));
        let unasked = async {
            let crowded = async {
                holds(&mut self.full).await;
                conversation.idle(CROWDED).await;
            };
            tokio::select! {
                () = conversation.idle(waits.keep_alive) => {}
                () = crowded => {}
            }
        };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = conversation.head(waits.head) => Ok(()),
            () = unasked => {
                let finished = tokio::time::timeout(waits.write, finish(connection, graceful));
                finished.await.unwrap_or(Ok(()))
            }
            // The grace is the server's own.
            () = holds(&mut self.ending) => finish(connection, graceful).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// Resolves when it is so.
async fn holds(flag: &mut watch::Receiver<bool>) {
    // Whoever could say so may be gone, and it never will be.
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Takes no more requests on a connection, and waits for those that are under way.
async fn finish<T, E>(
    connection: impl Future<Output = Result<T, E>>,
    graceful: GracefulShutdown,
) -> Result<(), E> {
    // It would wait for the connection to be dropped, and that is after this.
    let asked = async {
        graceful.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = connection => ended.map(drop),
        () = asked => Ok(()),
    }
}

/// Versions of HTTP that a connection may speak.
#[derive(Clone, Copy, Debug)]
enum Versions {
    One,
    Two,
    /// Whichever the client begins with (RFC 9113, 3.3: prior knowledge).
    Either,
}

fn builder(waits: Waits, versions: Versions) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams { wait: waits.write });
    // How long a head may take is the conversation's to say: hyper's own clock runs from the answer before it.
    builder
        .http1()
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(waits.head)
        .keep_alive_timeout(waits.head)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    match versions {
        Versions::One => builder.http1_only(),
        Versions::Two => builder.http2_only(),
        Versions::Either => builder,
    }
}

/// A connection that breaks when the client takes nothing of what is written for too long.
fn patient(stream: TcpStream, waits: Waits) -> TimeoutStream<TcpStream> {
    // An answer's last piece would otherwise wait until the client has confirmed the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(waits.write));
    stream
}

#[cfg(test)]
mod tests;
