//! Connections: taken as they come, each with a deadline for its requests' heads, and let finish at the end.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::tls::HTTP2;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// Longest head of a request, in bytes, and twice that at the very most; HTTP/2 counts 32 more for each header.
const MAX_HEAD: usize = 64 << 10;
/// Requests that a client may have under way on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;

/// How long connections are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the head of a request; a connection without one for as long is closed.
    pub(crate) head: Duration,
    /// For a client to take some of its answer.
    pub(crate) write: Duration,
    /// For requests in flight, at the end.
    pub(crate) grace: Duration,
}

/// Takes connections until `shutdown`, then lets those that are open finish their request.
pub(crate) async fn serve(
    mut listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    waits: Waits,
    shutdown: impl Future<Output = ()>,
) {
    let (graceful, mut open) = (GracefulShutdown::new(), JoinSet::new());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            // It retries what the system refuses, such as more open files than there may be.
            (stream, _address) = Listener::accept(&mut listener) => {
                open.spawn(converse(stream, tls.clone(), router.clone(), waits, graceful.watcher()));
            }
            Some(_closed) = open.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    // From here on the system refuses connections. Those that it has taken until now are ours.
    for stream in taken(listener) {
        open.spawn(converse(
            stream,
            tls.clone(),
            router.clone(),
            waits,
            graceful.watcher(),
        ));
    }
    if tokio::time::timeout(waits.grace, graceful.shutdown())
        .await
        .is_err()
    {
        let grace_s = waits.grace.as_secs();
        tracing::warn!(
            grace_s,
            connections = open.len(),
            "requests were still in flight after the grace"
        );
    }
    open.shutdown().await;
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

async fn converse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    waits: Waits,
    watcher: Watcher,
) {
    match tls {
        Some(tls) => over_tls(stream, &tls, router, waits, watcher).await,
        None => connection(patient(stream, waits), false, router, waits, watcher).await,
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

/// Agrees with the client on keys and a version of HTTP first.
async fn over_tls(
    stream: TcpStream,
    tls: &TlsAcceptor,
    router: Router,
    waits: Waits,
    watcher: Watcher,
) {
    let handshake = tls.accept(Box::pin(patient(stream, waits)));
    match tokio::time::timeout(waits.head, handshake).await {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            connection(stream, http2, router, waits, watcher).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
        Err(_late) => tracing::debug!("no TLS was agreed on in time"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    http2: bool,
    router: Router,
    waits: Waits,
    watcher: Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(waits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(waits.head)
        .keep_alive_timeout(waits.head)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let io = TokioIo::new(Box::pin(stream));
    let connection = builder.serve_connection(io, TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests;
