//! The program itself: how it starts, how it refuses, how it ends.

#[path = "program/remote.rs"]
mod remote;
#[path = "program/uploads.rs"]
mod uploads;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use rustix::process::{Pid, Signal, kill_process};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_detcon-server"));
    // The path in the environment is relative to the workspace, where cargo found it.
    command.env(
        "DETCON_ONNXRUNTIME",
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../.deps/onnxruntime/libonnxruntime.so"
        ),
    );
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn store() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    demo(
        &store.path().join("try"),
        Existing::Keep,
        "tiny".parse().unwrap(),
        0,
    )
    .unwrap();
    store
}

/// Waits for the line that a server prints when every model is served or refused.
fn wait_until_ready(server: &mut Child) -> Vec<String> {
    let lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut seen = Vec::new();
    for line in lines {
        seen.push(line);
        let last = seen.last().unwrap();
        if last.starts_with("try: curl") || last.starts_with("no model is served") {
            break;
        }
    }
    seen
}

fn signalled(signal: Signal) -> (Vec<String>, ExitStatus) {
    let store = store();
    let mut server = program()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(store.path())
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    kill_process(Pid::from_child(&server), signal).unwrap();
    (lines, server.wait().unwrap())
}

#[test]
fn it_prints_its_address_and_what_to_try_and_ends_well_when_asked_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let (lines, status) = signalled(signal);
        assert!(
            lines[0].starts_with("detcon-server listens on http://127.0.0.1:"),
            "{lines:?}"
        );
        assert!(lines[1].contains("/v1/embeddings"), "{lines:?}");
        assert_eq!(status.code(), Some(0), "after {signal:?}");
    }
}

#[test]
fn what_it_cannot_start_with_is_one_line_and_exit_code_1() {
    let store = store();
    let missing = store.path().join("missing");
    let here = store.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            vec!["--models", missing.to_str().unwrap()],
            "the models could not be listed",
        ),
        (
            vec!["--models", here, "--onnxruntime", "/nowhere/lib.so"],
            "--onnxruntime",
        ),
        (
            vec!["--models", here, "--listen", "192.0.2.1:1"],
            "--listen",
        ),
        (
            vec!["--models", here, "--api-keys", "/nowhere/keys"],
            "--api-keys /nowhere/keys",
        ),
        (
            vec![
                "--models",
                here,
                "--tls-cert",
                "/nowhere/cert",
                "--tls-key",
                "/nowhere/key",
            ],
            "--tls-cert /nowhere/cert",
        ),
        (
            vec!["--models", here, "--otlp-endpoint", "not an address"],
            "--otlp-endpoint",
        ),
        (
            vec!["--models", here, "--default-model", "tyr"],
            "\"tyr\" is not among the models of --models: try",
        ),
    ] {
        let output = program().args(&arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(
            errors.starts_with("detcon-server: ") && errors.contains(expected),
            "{errors}"
        );
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["--nope"],
        &["--models", ".", "--max-batch", "0"],
        &["--models", ".", "--queue", "65537"],
        &["--models", ".", "--tls-cert", "cert.pem"],
        &["--models", ".", "--cors-origin", "example.org"],
        &["--models", ".", "--allow-url", "https://example.org/a.jpg"],
        &["--models", ".", "--allow-private-addresses"],
        &["--models", ".", "--max-upload-bytes", "1"],
    ] {
        assert_eq!(
            program().args(arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

/// A collector that takes one request and gives what was in it.
fn collector() -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let taken = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = Vec::new();
        let (mut length, mut head) = (usize::MAX, 0_usize);
        while request.len() < head.saturating_add(length) {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).unwrap();
            assert_ne!(count, 0, "the request broke off");
            request.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
            if let Some((before, _)) = text.split_once("\r\n\r\n") {
                head = before.len() + 4;
                let value = before.split("content-length: ").nth(1).unwrap();
                length = value.lines().next().unwrap().parse().unwrap();
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        request
    });
    (address, taken)
}

#[test]
fn requests_are_traced_and_logged_as_json_where_asked_for() {
    let store = store();
    let (endpoint, taken) = collector();
    let mut server = program()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--models",
        ])
        .arg(store.path())
        .args(["--otlp-endpoint", &endpoint])
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    let address = lines[0].rsplit("http://").next().unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let request = "GET /v1/models/try HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: job-7\r\nConnection: close\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    let log = server.wait_with_output().unwrap();
    let sent = taken.join().unwrap();
    assert!(sent.starts_with(b"POST /v1/traces HTTP/1.1"));
    let parent = [
        0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31,
        0x9c,
    ];
    for expected in [
        &b"GET /v1/models/{name}"[..],
        b"job-7",
        b"http.response.status_code",
        &parent,
    ] {
        let found = sent.windows(expected.len()).any(|part| part == expected);
        assert!(
            found,
            "{:?} is not in the trace",
            String::from_utf8_lossy(expected)
        );
    }
    let log = String::from_utf8(log.stderr).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let line = lines
        .iter()
        .find(|line| line["message"] == "request")
        .unwrap();
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["span"]["id"], "job-7", "{line}");
    assert_eq!(line["span"]["route"], "/v1/models/{name}", "{line}");
    assert!(line["duration_ms"].is_number(), "{line}");
}

/// A log of a few hundred bytes a request fills a pipe of 64 KiB after some hundred.
#[test]
fn a_log_that_nobody_reads_holds_no_answer_up() {
    let store = store();
    let mut server = program()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--models",
        ])
        .arg(store.path())
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server); // standard error is not read
    let address = lines[0].rsplit('/').next().unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_mins(1)))
        .unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for number in 0..2000 {
        let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (String::new(), 0);
        loop {
            head.clear();
            answers.read_line(&mut head).unwrap();
            if let Some(text) = head.strip_prefix("content-length: ") {
                length = text.trim().parse().unwrap();
            }
            if head == "\r\n" {
                break;
            }
            assert!(!head.is_empty(), "after {number} answers");
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let store = store();
    let mut server = program()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(store.path())
        .spawn()
        .unwrap();
    drop(server.stdout.take());
    let stderr = BufReader::new(server.stderr.take().unwrap());
    let mut lines = stderr.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("model") && line.contains("try")));
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(lines.all(|line| !line.contains("panicked")));
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

/// What the program says when it does not start.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = program();
    command
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    let store = store();
    let models = store.path().to_str().unwrap();
    let model = format!("{models}/try");
    for (arguments, expected) in [
        (
            ["--models", models, "--log", "warning"],
            "error, warn, info",
        ),
        (["--models", models, "--listen", "8080"], "127.0.0.1:8080"),
        (
            ["--models", models, "--cors-origin", "https://*.example.org"],
            "each origin, or *",
        ),
        (
            ["--models", &model, "--listen", "127.0.0.1:0"],
            "is a model itself",
        ),
    ] {
        let said = refused(&arguments, &[]);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = refused(&["--models", "/nowhere/at/all"], &[]);
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[test]
fn variables_are_read_as_people_write_them() {
    let store = store();
    std::fs::create_dir(store.path().join("lost+found")).unwrap();
    let mut server = program()
        .arg("--models")
        .arg(store.path())
        .env("DETCON_LISTEN", "localhost:0")
        .envs([
            ("DETCON_NO_PLAYGROUND", "1"),
            ("DETCON_ALLOW_UPLOADS", "Off"),
        ])
        .envs([
            ("DETCON_ALLOW_PRIVATE_ADDRESSES", "false"),
            ("DETCON_CORS_ORIGIN", ""),
        ])
        .envs([
            ("DETCON_ALLOW_URL", ""),
            ("DETCON_QUEUE", ""),
            ("DETCON_LOG", "warn"),
        ])
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    assert!(lines.last().unwrap().starts_with("try: curl"), "{lines:?}");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    let output = server.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("lost+found"), "{said}");
    let wrong = [("DETCON_NO_PLAYGROUND", "perhaps")];
    let said = refused(&["--models", "x"], &wrong);
    assert!(said.contains("true or false"), "{said}");
}

#[test]
fn an_empty_store_says_how_a_model_comes_into_it() {
    let store = tempfile::tempdir().unwrap();
    let mut server = program()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(store.path())
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    assert!(lines[1].contains("detcon-convert import"), "{lines:?}");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn health_asks_a_server_with_tls_by_the_server_s_own_variables() {
    let (store, keys) = (store(), tempfile::tempdir().unwrap());
    let made = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let (cert, key) = (keys.path().join("cert.pem"), keys.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut server = program()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(store.path())
        .env("DETCON_TLS_CERT", &cert)
        .env("DETCON_TLS_KEY", &key)
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    let address = lines[0].rsplit('/').next().unwrap().to_owned();
    let health = |cert: Option<&std::path::Path>| {
        let mut command = program();
        command
            .args(["health", "--ready"])
            .env("DETCON_LISTEN", &address);
        command.envs(cert.map(|cert| ("DETCON_TLS_CERT", cert)));
        command.status().unwrap().code()
    };
    assert_eq!(health(Some(&cert)), Some(0));
    assert_eq!(health(None), Some(1), "it speaks TLS alone");
    server.kill().unwrap();
    server.wait().unwrap();
}
