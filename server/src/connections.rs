//! Connections: taken as they come, each with a deadline for its requests' heads, and let finish at the end.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long connections are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the head of a request; a connection without one for as long is closed.
    pub(crate) head: Duration,
    /// For requests in flight, at the end.
    pub(crate) grace: Duration,
}

/// Takes connections until `shutdown`, then lets those that are open finish their request.
pub(crate) async fn serve(
    mut listener: TcpListener,
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
                let watcher = graceful.watcher();
                open.spawn(connection(stream, router.clone(), waits.head, watcher));
            }
            Some(_closed) = open.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener); // from here on the system refuses connections
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

async fn connection(
    stream: TcpStream,
    router: Router,
    head: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // An answer's last piece would otherwise wait until the client has confirmed the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    async fn start(
        router: Router,
        waits: Waits,
    ) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or(()) };
        (
            address,
            stop,
            tokio::spawn(serve(listener, router, waits, shutdown)),
        )
    }

    async fn ask(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_its_head_is_let_go() {
        let waits = Waits {
            head: Duration::from_millis(50),
            grace: LONG,
        };
        let (address, _stop, _server) = start(Router::new(), waits).await;
        let stream = ask(address, "GET / HTTP/1.1\r\nHost: ").await;
        assert!(!rest(stream).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn a_request_that_outlasts_the_grace_is_cut_off() {
        let (arrived, at) = tokio::sync::mpsc::unbounded_channel();
        let mut at = at;
        let never = Router::new().route(
            "/",
            get(async move || {
                arrived.send(()).unwrap();
                std::future::pending::<()>().await;
            }),
        );
        let waits = Waits {
            head: LONG,
            grace: Duration::from_millis(10),
        };
        let (address, stop, server) = start(never, waits).await;
        let stream = ask(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        at.recv().await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
        assert_eq!(rest(stream).await, "");
    }

    #[tokio::test]
    async fn idle_connections_do_not_hold_up_the_end() {
        let waits = Waits {
            head: LONG,
            grace: LONG,
        };
        let (address, stop, server) = start(Router::new(), waits).await;
        let mut stream = ask(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 404");
        stop.send(()).unwrap();
        server.await.unwrap();
    }
}
