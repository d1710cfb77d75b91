//! Fetching checkpoints, against a small HTTP server of the test's own.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use detcon_converter::fetch::{FetchError, FetchOptions, Patience, fetch, list};
use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_core::digest::sha256;
use detcon_tests::golden;

/// How long the tests let a server send nothing, and what its standing still may cost at most.
const PATIENCE: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(60);

/// A request: its first line and its headers.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// An answer; its body may be cut short of what its headers say.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    sent: usize,
    end: End,
}

/// What a server does after what it has sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It closes the connection.
    Close,
    /// It sends nothing more, and stays.
    Silence,
    /// It sends a byte now and then.
    Trickle,
}

impl Answer {
    fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
            sent: body.len(),
            end: End::Close,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn cut(mut self, sent: usize) -> Self {
        self.sent = sent;
        self
    }

    fn then(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// A server on a port of its own, and what it was asked.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(answer: impl Fn(&Request, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let request = read(&stream);
                let number = log.lock().unwrap().len();
                log.lock().unwrap().push(request.clone());
                let answer = answer(&request, number);
                // Connections that stay open do so beside the next.
                std::thread::spawn(move || write(stream, &answer));
            }
        });
        Self { address, seen }
    }

    fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    fn fetch(&self, path: &str, options: &FetchOptions) -> Result<Vec<u8>, FetchError> {
        let uri = format!("{}{path}", self.address).parse().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        fetch(&uri, options, scratch.path()).map(|file| std::fs::read(file).unwrap())
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let first = lines.next().unwrap_or_default();
    let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    Request {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        headers: headers.join("\n"),
    }
}

fn write(mut stream: TcpStream, answer: &Answer) {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if answer.status != 304 {
        write!(head, "Content-Length: {}\r\n", answer.body.len()).unwrap();
    }
    head.push_str("\r\n");
    // A client that has seen enough may be gone already.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&answer.body[..answer.sent]);
    match answer.end {
        End::Close => {}
        // Until the client has gone.
        End::Silence => drop(std::io::copy(&mut stream, &mut std::io::sink())),
        End::Trickle => {
            for byte in &answer.body[answer.sent..] {
                std::thread::sleep(PATIENCE / 10);
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
    }
}

fn cached(folder: &Path) -> FetchOptions {
    FetchOptions {
        cache: Some(folder.to_owned()),
        ..FetchOptions::default()
    }
}

fn body() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// A server that breaks off, then serves ranges of a version.
fn breaking(version: impl Fn(usize) -> &'static str + Send + 'static) -> Server {
    ending(version, End::Close, 1)
}

/// The same with the first `times` answers ended so, each after 150 000 bytes more.
fn ending(
    version: impl Fn(usize) -> &'static str + Send + 'static,
    end: End,
    times: usize,
) -> Server {
    Server::start(move |request, number| {
        let (body, etag) = (body(), version(number));
        let start = request
            .header("range")
            .filter(|_| request.header("if-range") == Some(etag))
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            });
        let answer = match start {
            Some(start) => Answer::new(206, &body[start..]).with(
                "Content-Range",
                format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
            ),
            None => Answer::new(200, &body),
        };
        let whole = answer.body.len();
        let answer = answer.with("ETag", etag);
        if number < times {
            answer.cut(whole.min(150_000 / times)).then(end)
        } else {
            answer
        }
    })
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let server = breaking(|_| "\"one\"");
    let folder = tempfile::tempdir().unwrap();
    assert!(server.fetch("/x", &cached(folder.path())).unwrap() == body());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("range"), Some("bytes=150000-"));
    assert_eq!(requests[1].header("if-range"), Some("\"one\""));
}

fn impatient(folder: &Path) -> FetchOptions {
    FetchOptions {
        patience: Patience(PATIENCE),
        ..cached(folder)
    }
}

#[test]
fn a_server_that_stands_still_is_asked_for_the_rest() {
    for end in [End::Silence, End::Trickle] {
        let server = ending(|_| "\"one\"", end, 1);
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        assert!(server.fetch("/x", &impatient(folder.path())).unwrap() == body());
        assert!(start.elapsed() < LONGEST);
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        let range = requests[1].header("range").unwrap();
        let start: usize = range["bytes=".len()..range.len() - 1].parse().unwrap();
        assert!((150_000..151_000).contains(&start), "{range}");
        assert_eq!(requests[1].header("if-range"), Some("\"one\""));
    }
}

#[test]
fn a_transfer_that_goes_on_may_break_off_as_often_as_it_likes() {
    let server = ending(|_| "\"one\"", End::Close, 10);
    let folder = tempfile::tempdir().unwrap();
    assert!(server.fetch("/x", &cached(folder.path())).unwrap() == body());
    assert_eq!(server.requests().len(), 11);
}

#[test]
fn a_server_that_never_sends_more_is_given_up_and_what_came_is_kept() {
    let server = Server::start(|request, _| {
        match request.header("range") {
            None => Answer::new(200, &body()).cut(1000).then(End::Silence),
            Some(_) => Answer::new(206, &body()[1000..])
                .with("Content-Range", "bytes 1000-399999/400000")
                .cut(0)
                .then(End::Silence),
        }
        .with("ETag", "\"one\"")
    });
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let error = server.fetch("/x", &impatient(folder.path())).unwrap_err();
    assert!(start.elapsed() < LONGEST);
    assert!(
        matches!(error, FetchError::Interrupted { read: 1000, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("run the command again"),
        "{error}"
    );
    assert!(server.requests().len() > 2);
}

#[test]
fn another_version_is_fetched_from_its_start() {
    let server = breaking(|number| if number == 0 { "\"one\"" } else { "\"two\"" });
    let folder = tempfile::tempdir().unwrap();
    assert!(server.fetch("/x", &cached(folder.path())).unwrap() == body());
}

#[test]
fn a_version_without_a_strong_name_is_never_gone_on_with() {
    let server = breaking(|_| "W/\"one\"");
    let folder = tempfile::tempdir().unwrap();
    let first = server.fetch("/x", &cached(folder.path()));
    assert!(first.is_ok() || matches!(first, Err(FetchError::Interrupted { .. })));
    assert!(server.fetch("/x", &cached(folder.path())).unwrap() == body());
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("range").is_none())
    );
}

#[test]
fn what_is_cached_is_not_fetched_again_and_serves_offline() {
    let server = Server::start(|request, _| match request.header("if-none-match") {
        Some("\"one\"") => Answer::new(304, b""),
        _ => Answer::new(200, &body()).with("ETag", "\"one\""),
    });
    let folder = tempfile::tempdir().unwrap();
    let options = cached(folder.path());
    let offline = FetchOptions {
        offline: true,
        ..options.clone()
    };
    assert!(matches!(
        server.fetch("/x", &offline),
        Err(FetchError::NotCached { .. })
    ));
    for _ in 0..2 {
        assert!(server.fetch("/x", &options).unwrap() == body());
    }
    assert_eq!(server.requests().len(), 2);
    assert!(server.fetch("/x", &offline).unwrap() == body());
    let known = FetchOptions {
        sha256: Some(sha256(&body())),
        ..options
    };
    assert!(server.fetch("/x", &known).unwrap() == body());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn another_digest_than_asked_for_is_an_error_and_leaves_nothing_in_the_cache() {
    let server = Server::start(|_, _| Answer::new(200, &body()));
    let folder = tempfile::tempdir().unwrap();
    let options = FetchOptions {
        sha256: Some("0".repeat(64)),
        ..cached(folder.path())
    };
    let error = server.fetch("/x", &options).unwrap_err();
    assert!(matches!(error, FetchError::Digest { .. }), "{error}");
    let offline = FetchOptions {
        offline: true,
        ..cached(folder.path())
    };
    assert!(matches!(
        server.fetch("/x", &offline),
        Err(FetchError::NotCached { .. })
    ));
}

#[test]
fn redirects_stay_on_the_server_or_are_refused() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/near" => Answer::new(302, b"").with("Location", "/file"),
        "/loop" => Answer::new(302, b"").with("Location", "/loop"),
        "/file" => Answer::new(200, b"here"),
        other => Answer::new(302, b"").with("Location", other.replacen('/', "", 1)),
    });
    let options = FetchOptions::default();
    assert_eq!(server.fetch("/near", &options).unwrap(), b"here");
    for path in [
        "/loop",
        "/http://10.0.0.1/x",
        "/https://10.0.0.1/x",
        "/https://127.0.0.1:1/x",
        "/http://127.0.0.1:1/x",
        "/file:///etc/passwd",
        "/ftp://example.com/x",
        "/nothing",
    ] {
        let error = server.fetch(path, &options).unwrap_err();
        assert!(
            matches!(error, FetchError::Redirect { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn answers_that_say_no_or_lie_about_ranges_are_errors() {
    let server = Server::start(|_, _| Answer::new(404, b"no"));
    let error = server.fetch("/x", &FetchOptions::default()).unwrap_err();
    assert!(
        matches!(error, FetchError::Status { status: 404, .. }),
        "{error}"
    );
    let server = Server::start(|_, number| match number {
        0 => Answer::new(200, &body()).with("ETag", "\"one\"").cut(1000),
        _ => Answer::new(206, b"x").with("Content-Range", "bytes 0-0/400000"),
    });
    let folder = tempfile::tempdir().unwrap();
    let error = server.fetch("/x", &cached(folder.path())).unwrap_err();
    assert!(matches!(error, FetchError::Answer { .. }), "{error}");
}

#[test]
fn a_bucket_is_listed_page_by_page() {
    let server = Server::start(|request, _| {
        let page = if request.path.contains("pageToken=second%2Fpage") {
            r#"{"items": [{"name": "a.npy", "size": "7", "kind": "x"}]}"#
        } else {
            r#"{"items": [{"name": "b c.npy", "size": "306000000", "updated": "2021-08-01T00:00:00Z"}],
               "nextPageToken": "second/page"}"#
        };
        assert!(request.path.starts_with("/storage/v1/b/bucket/o?"));
        Answer::new(200, page.as_bytes())
    });
    let objects = list(&server.address, "bucket").unwrap();
    let found: Vec<_> = objects
        .iter()
        .map(|it| (it.name.as_str(), it.bytes))
        .collect();
    assert_eq!(found, [("a.npy", 7), ("b c.npy", 306_000_000)]);
    assert_eq!(
        objects[1].address,
        format!("{}/bucket/b%20c.npy", server.address)
    );
    let server = Server::start(|_, _| Answer::new(200, b"<html>"));
    assert!(matches!(
        list(&server.address, "bucket"),
        Err(FetchError::Answer { .. })
    ));
}

#[test]
fn a_checkpoint_at_an_address_is_imported() {
    let bytes = std::fs::read(golden::checkpoint("tiny", 0, "released")).unwrap();
    let server = Server::start(move |_, _| Answer::new(200, &bytes));
    let source: Location = format!("{}/tiny.npy", server.address).parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    import(
        &source,
        &folder.path().join("tiny"),
        &ImportOptions::default(),
    )
    .unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path().join("tiny"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name.as_str())
                .extension()
                .is_some_and(|ending| ending == "data")
                || name.starts_with('.')
        })
        .collect();
    assert_eq!(left, [""; 0]);
}
