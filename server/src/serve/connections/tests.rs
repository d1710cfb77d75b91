//! Connections that are slow, broken, secret, or there at the end.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, Version};
use axum::middleware::map_request;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::serve::drain::drained;
use crate::serve::tls;

const LONG: Duration = Duration::from_mins(10);
/// Most connections of a test's server.
const MOST: usize = 4;
const PATIENT: Waits = Waits {
    head: LONG,
    keep_alive: LONG,
    write: LONG,
    grace: LONG,
};

async fn start(router: Router, waits: Waits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    start_with(None, router, waits).await
}

async fn start_with(
    tls: Option<TlsAcceptor>,
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
        tokio::spawn(serve(listener, tls, router, (waits, MOST), shutdown)),
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
        ..PATIENT
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
        grace: Duration::from_millis(10),
        ..PATIENT
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
    let (address, stop, server) = start(Router::new(), PATIENT).await;
    let mut stream = ask(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    // More than the system keeps for a connection.
    let (arrived, mut at) = tokio::sync::mpsc::unbounded_channel();
    let large = async move || {
        arrived.send(()).unwrap();
        vec![0_u8; 64 << 20]
    };
    let large = Router::new().route("/", get(large));
    let waits = Waits {
        write: Duration::from_millis(50),
        ..PATIENT
    };
    let (address, stop, server) = start(large, waits).await;
    let stream = ask(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    at.recv().await.unwrap();
    stop.send(()).unwrap();
    // The server waits for answers that are under way: it ends because this one is given up.
    server.await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn more_headers_than_there_may_be_are_refused() {
    let (address, _stop, _server) = start(Router::new(), PATIENT).await;
    for headers in [
        "X: y\r\n".repeat(MAX_HEADERS),
        format!("X: {}\r\n", "y".repeat(2 * MAX_HEAD)),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let mut status = [0; 12];
        let mut stream = ask(address, &head).await;
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 431", "after {} bytes", head.len());
    }
}

#[tokio::test]
async fn a_connection_outlives_an_answer_that_came_before_the_whole_body() {
    let refusing = post(async || StatusCode::FORBIDDEN);
    let router = Router::new()
        .route("/", refusing.get(async || "still here"))
        .layer(map_request(async |request| drained(request)));
    let (address, _stop, _server) = start(router, PATIENT).await;
    let half = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234";
    let mut stream = ask(address, half).await;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 403");
    let more = "56789GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(more.as_bytes()).await.unwrap();
    assert!(rest(stream).await.ends_with("still here"));
}

#[tokio::test]
async fn a_client_that_waits_for_leave_and_is_refused_is_not_told_to_go_on() {
    let refusing = post(async || StatusCode::FORBIDDEN);
    let router = Router::new()
        .route("/", refusing)
        .layer(map_request(async |request| drained(request)));
    let (address, _stop, _server) = start(router, PATIENT).await;
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let answer = rest(ask(address, head).await).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// A server with a certificate of its own, and what makes clients trust it.
async fn start_secret(router: Router, waits: Waits) -> (SocketAddr, Arc<RootCertStore>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    );
    std::fs::write(cert.path(), made.cert.pem()).unwrap();
    std::fs::write(key.path(), made.signing_key.serialize_pem()).unwrap();
    let config = tls::config(cert.path(), key.path()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let (address, stop, _server) = start_with(Some(config.into()), router, waits).await;
    std::mem::forget(stop); // the server runs until the test's runtime ends
    (address, Arc::new(roots))
}

const fn short_head() -> Waits {
    Waits {
        head: Duration::from_millis(50),
        ..PATIENT
    }
}

const fn short_keep_alive() -> Waits {
    Waits {
        keep_alive: Duration::from_millis(50),
        ..PATIENT
    }
}

async fn secret_connection(
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    protocol: &[u8],
) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn http_1_and_2_are_spoken_over_tls() {
    let version = get(async |request: Request<Body>| format!("{:?}", request.version()));
    let (address, roots) = start_secret(Router::new().route("/", version), PATIENT).await;
    let request = || {
        Request::get("https://localhost/")
            .body(Body::empty())
            .unwrap()
    };
    let io = TokioIo::new(secret_connection(address, Arc::clone(&roots), b"http/1.1").await);
    let (mut one, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let io = TokioIo::new(secret_connection(address, roots, HTTP2).await);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for (answer, version) in [
        (one.send_request(request()).await.unwrap(), Version::HTTP_11),
        (two.send_request(request()).await.unwrap(), Version::HTTP_2),
    ] {
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, format!("{version:?}"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_let_go() {
    let (address, _roots) = start_secret(Router::new(), short_head()).await;
    let silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(silent).await, "");
    let mut plain = ask(address, "GET / HTTP/1.1\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await; // an alert, or a connection that was cut
    assert!(!answer.starts_with(b"HTTP"));
}

/// A client of HTTP/2.
async fn over_http2(
    address: SocketAddr,
    roots: Arc<RootCertStore>,
) -> (http2::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(secret_connection(address, roots, HTTP2).await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn secret_get(path: &str) -> Request<Body> {
    let request = Request::get(format!("https://localhost{path}"));
    request.body(Body::empty()).unwrap()
}

/// Tells when the answer is not held any more.
struct Held(Vec<u8>, tokio::sync::mpsc::UnboundedSender<()>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.1.send(()); // the test may be over
    }
}

#[tokio::test]
async fn a_stream_that_takes_nothing_is_reset_and_others_of_its_connection_go_on() {
    let (freed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let large = move || {
        let freed = freed.clone();
        async move { Body::from(bytes::Bytes::from_owner(Held(vec![0; 64 << 20], freed))) }
    };
    let router = Router::new()
        .route("/large", get(large))
        .route("/", get(async || "here"));
    let waits = Waits {
        write: Duration::from_millis(100),
        ..PATIENT
    };
    let (address, roots) = start_secret(router, waits).await;
    let (mut client, _connection) = over_http2(address, roots).await;
    let stuck = client.send_request(secret_get("/large")).await.unwrap();
    assert_eq!(stuck.headers()["content-length"], (64 << 20).to_string());
    seen.recv().await.unwrap();
    let answer = client.send_request(secret_get("/")).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "here"
    );
    assert!(
        stuck.into_body().collect().await.is_err(),
        "it was not sent as a whole"
    );
}

#[tokio::test]
async fn a_whole_answer_arrives_in_pieces_over_either_version() {
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let sent = body.clone();
    let large = get(async move || sent);
    let (address, roots) = start_secret(Router::new().route("/", large), PATIENT).await;
    let (mut two, _connection) = over_http2(address, Arc::clone(&roots)).await;
    let io = TokioIo::new(secret_connection(address, roots, b"http/1.1").await);
    let (mut one, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for answer in [
        two.send_request(secret_get("/")).await.unwrap(),
        one.send_request(secret_get("/")).await.unwrap(),
    ] {
        assert_eq!(answer.headers()["content-length"], body.len().to_string());
        let found = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(found == body);
    }
}

#[tokio::test]
async fn a_connection_of_http_2_without_requests_is_over_though_it_answers_pings() {
    let router = || Router::new().route("/", get(async || "here"));
    let (address, roots) = start_secret(router(), short_keep_alive()).await;
    let (mut client, connection) = over_http2(address, roots).await;
    let answer = client.send_request(secret_get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    connection.await.unwrap().unwrap(); // with leave
    // Before the first request it has as long as a head.
    let (address, roots) = start_secret(router(), short_head()).await;
    let (_client, connection) = over_http2(address, roots).await;
    let _ = connection.await.unwrap(); // it is cut
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_answered_in_it_without_tls() {
    let version = get(async |request: Request<Body>| format!("{:?}", request.version()));
    let (address, _stop, _server) = start(Router::new().route("/", version), PATIENT).await;
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/"));
    let answer = two.send_request(request.body(Body::empty()).unwrap()).await;
    let text = answer.unwrap().into_body().collect().await.unwrap();
    assert_eq!(text.to_bytes(), "HTTP/2.0");
    let one = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(rest(ask(address, one).await).await.ends_with("HTTP/1.1"));
}

#[tokio::test]
async fn a_connection_waits_for_its_next_request_longer_than_for_the_rest_of_a_head() {
    let router = Router::new().route("/", get(async || "here"));
    let (address, _stop, _server) = start(router, short_head()).await;
    let whole = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = ask(address, whole).await;
    let mut answer = [0; 1024];
    for _ in 0..3 {
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].ends_with(b"here"));
        tokio::time::sleep(short_head().head * 3).await;
        stream.write_all(whole.as_bytes()).await.unwrap();
    }
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].ends_with(b"here"));
    // The first bytes of a head are late as soon as a first head would be.
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_connection_that_was_kept_for_long_enough_is_closed() {
    let router = Router::new().route("/", get(async || "here"));
    let (address, _stop, _server) = start(router, short_keep_alive()).await;
    let stream = ask(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(rest(stream).await.ends_with("here"));
}

#[tokio::test]
async fn beyond_the_cap_connections_without_a_request_make_room_and_busy_ones_do_not() {
    let (arrived, mut at) = tokio::sync::mpsc::unbounded_channel();
    let (let_on, gate) = tokio::sync::watch::channel(false);
    let slow = move || {
        let (arrived, mut gate) = (arrived.clone(), gate.clone());
        async move {
            arrived.send(()).unwrap();
            gate.wait_for(|on| *on).await.unwrap();
        }
    };
    let router = Router::new()
        .route("/slow", get(slow))
        .route("/", get(async || "here"));
    let (address, _stop, _server) = start(router, PATIENT).await;
    let busy = "GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let quick = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut open = Vec::new();
    for _ in 1..MOST {
        open.push(ask(address, busy).await);
        at.recv().await.unwrap();
    }
    let idle = TcpStream::connect(address).await.unwrap();
    // All places are taken, one of them by a connection that asks nothing.
    assert!(rest(ask(address, quick).await).await.ends_with("here"));
    assert_eq!(rest(idle).await, "");
    open.push(ask(address, busy).await);
    at.recv().await.unwrap();
    let mut waiting = ask(address, quick).await;
    let mut byte = [0];
    let early = tokio::time::timeout(CROWDED * 2, waiting.read_exact(&mut byte));
    assert!(early.await.is_err(), "every place has a request");
    let_on.send(true).unwrap();
    assert!(rest(waiting).await.ends_with("here"));
    for answered in open {
        assert!(rest(answered).await.contains("200 OK"));
    }
}
