//! Uploads, removals and files over HTTP, served by a stand-in that loads nothing.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use detcon_converter::demo::demo;
use detcon_core::digest::sha256;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, file, list};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::*;
use crate::app::router;
use crate::protect::Protection;
use crate::testing::{Answer, answer, answers, ask, ready, stored};

const LIMITS: ReceiveLimits = ReceiveLimits {
    bytes: 2 << 20,
    wait: Duration::from_secs(10),
};
const TAR: &str = "application/x-tar";
const OCTETS: &str = "application/octet-stream";

/// Says what it is told to load.
struct Told {
    loaded: mpsc::Sender<PathBuf>,
    refusal: Option<&'static str>,
}

impl Serving for Told {
    fn check(&self, _path: &Path) -> Result<(), String> {
        self.refusal.map_or(Ok(()), |reason| Err(reason.to_owned()))
    }

    fn load(&self, path: &Path) {
        let _ = self.loaded.send(path.to_owned()); // the test may have seen enough
    }
}

/// A server over an empty store that takes uploads.
struct Server {
    root: tempfile::TempDir,
    router: Router,
    loaded: mpsc::Receiver<PathBuf>,
}

impl Server {
    fn new() -> Self {
        Self::refusing(None)
    }

    fn refusing(refusal: Option<&'static str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (store, worker) = Store::writable(root.path().to_owned(), LIMITS).unwrap();
        let (sender, loaded) = mpsc::channel();
        worker
            .start(Told {
                loaded: sender,
                refusal,
            })
            .unwrap();
        let models = [("tiny", ready(answers(), 4))];
        let app = stored(models, Duration::from_mins(1), Protection::default(), store);
        Self {
            root,
            router: router(app),
            loaded,
        }
    }

    async fn put(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::put(path).header(header::CONTENT_TYPE, content_type);
        answer(&self.router, request.body(body.into()).unwrap()).await
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        answer(&self.router, ask(method, path)).await
    }

    /// What an import ends in.
    async fn outcome(&self, place: &str) -> serde_json::Value {
        loop {
            let import = self.ask(Method::GET, place).await.body;
            if import["state"] == "done" || import["state"] == "failed" {
                return import;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Names of the models, all of them whole, and nothing of uploads beside them.
    fn models(&self) -> Vec<String> {
        let uploads = self.root.path().join(".detcon-staging");
        let left: Vec<_> = fs::read_dir(uploads)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(left, ["lock"], "what uploads left");
        let models = list(self.root.path()).unwrap().into_iter();
        let models = models.map(|path| ModelDirectory::open(&path).unwrap());
        models
            .map(|model| model.manifest().name.to_string())
            .collect()
    }

    fn digest(&self, model: &str) -> String {
        let directory = ModelDirectory::open(&self.root.path().join(model)).unwrap();
        directory.digest().to_owned()
    }
}

/// The files of a model called `name`.
fn files(name: &str, seed: u64) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(name);
    demo(&place, Existing::Keep, "tiny".parse().unwrap(), seed).unwrap();
    let entries = fs::read_dir(&place).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

fn tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, &content[..])
            .unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_model_directory_is_stored_replaced_and_removed() {
    let server = Server::new();
    let place = "/v1/models/new";
    let first = server.put(place, TAR, tar(&files("new", 0))).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.headers[header::LOCATION], place);
    assert_eq!(
        server.loaded.recv().unwrap(),
        server.root.path().join("new")
    );
    assert_eq!(server.models(), ["new"]);
    let digest = server.digest("new");
    assert_eq!(
        (&first.body["state"], &first.body["digest"]),
        (&json!("done"), &json!(digest))
    );

    let second = tar(&files("new", 1));
    let kept = server.put(place, TAR, second.clone()).await;
    assert_eq!(kept.problem(), (409, "model-exists"));
    assert_eq!(server.digest("new"), digest);
    let replaced = server.put("/v1/models/new?replace=true", TAR, second).await;
    assert_eq!(replaced.status, 200);
    assert_ne!(server.digest("new"), digest);
    assert_eq!(server.models(), ["new"]);

    assert_eq!(server.ask(Method::DELETE, place).await.status, 204);
    assert_eq!(server.models(), [""; 0]);
    assert_eq!(
        server.ask(Method::DELETE, place).await.problem(),
        (404, "unknown-model")
    );
}

#[tokio::test]
async fn a_model_is_replaced_or_removed_only_where_it_is_the_one_that_is_meant() {
    let server = Server::new();
    let made = server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    let digest = made.body["digest"].as_str().unwrap();
    let other = format!("\"{}\"", "0".repeat(64));
    for (method, tag, status) in [
        (Method::PUT, &*other, 412),
        (Method::DELETE, &other, 412),
        (Method::DELETE, "no digest", 400),
        (Method::PUT, &format!("\"{digest}\""), 200),
        (Method::PUT, "*", 200),
        (Method::DELETE, "*", 204),
        (Method::PUT, "*", 412),
    ] {
        let request = Request::builder().method(&method).uri("/v1/models/new");
        let request = request
            .header(header::CONTENT_TYPE, TAR)
            .header(header::IF_MATCH, tag);
        let body = Body::from(tar(&files("new", 0)));
        let found = answer(&server.router, request.body(body).unwrap()).await;
        assert_eq!(found.status, status, "{method} {tag}: {found:?}");
    }
}

#[tokio::test]
async fn a_removed_model_is_no_longer_served() {
    let server = Server::new();
    server
        .put("/v1/models/tiny", TAR, tar(&files("tiny", 0)))
        .await;
    assert_eq!(server.ask(Method::GET, "/v1/models/tiny").await.status, 200);
    assert_eq!(
        server.ask(Method::DELETE, "/v1/models/tiny").await.status,
        204
    );
    let gone = server.ask(Method::GET, "/v1/models/tiny").await;
    assert_eq!(gone.problem(), (404, "unknown-model"));
}

#[tokio::test]
async fn a_checkpoint_is_converted_after_the_answer() {
    let server = Server::new();
    let weights = files("any", 0).remove(file::BACKBONE).unwrap();
    let query = "license=MIT&source=r50.npy";
    let taken = server
        .put(&format!("/v1/models/new?{query}"), OCTETS, weights.clone())
        .await;
    assert_eq!(taken.status, 202, "{taken:?}");
    let place = taken.headers[header::LOCATION].to_str().unwrap();
    let import = server.outcome(place).await;
    assert_eq!(import["state"], "done", "{import}");
    assert_eq!(import["received_bytes"], weights.len());
    assert_eq!(server.models(), ["new"]);
    let directory = ModelDirectory::open(&server.root.path().join("new")).unwrap();
    let manifest = directory.manifest();
    assert_eq!(manifest.license.as_deref(), Some("MIT"));
    assert_eq!(manifest.source.uri, "r50.npy");
    assert_eq!(manifest.source.sha256, Some(sha256(&weights)));
    let all = server.ask(Method::GET, "/v1/imports").await;
    assert_eq!(all.body["data"][0]["id"], import["id"]);
}

/// Pickles that would call something when Python reads them.
#[tokio::test]
async fn a_hostile_pickle_is_refused_by_the_name_of_what_it_would_call() {
    let server = Server::new();
    let sentinel = server.root.path().join(".sentinel");
    let touch = format!("touch {}", sentinel.display());
    let length = u32::try_from(touch.len()).unwrap().to_le_bytes();
    let (before, after) = (b"\x80\x02cposix\nsystem\nX", b"\x85R.");
    let pickle = [&before[..], &length, touch.as_bytes(), after].concat();
    let taken = server.put("/v1/models/new", OCTETS, pickle).await;
    let import = server
        .outcome(taken.headers[header::LOCATION].to_str().unwrap())
        .await;
    assert_eq!(import["state"], "failed", "{import}");
    assert!(
        import["reason"].as_str().unwrap().contains("posix.system"),
        "{import}"
    );
    assert!(!sentinel.exists());
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn what_is_no_model_is_not_stored() {
    let server = Server::new();
    let whole = files("new", 0);
    let with = |name: &str, content: &[u8]| {
        let mut files = whole.clone();
        files.insert(name.to_owned(), content.to_owned());
        tar(&files)
    };
    let mut less = whole.clone();
    less.remove(file::ONNX);
    let truncated = tar(&whole);
    let truncated = truncated[..truncated.len() / 2].to_vec();
    for (archive, expected) in [
        (tar(&files("old", 0)), "\"old\""),
        (with(file::ONNX, b"another"), "model.onnx is damaged"),
        (
            with(file::MANIFEST, b"{}"),
            "manifest.json is not a manifest",
        ),
        (
            with(file::HEADS, b"more"),
            "heads.safetensors is not among the files",
        ),
        (with("run.sh", b"more"), "\"run.sh\""),
        (tar(&less), "model.onnx is damaged (it is missing)"),
        (truncated, "breaks off"),
        (b"nothing of the kind".to_vec(), "cannot be read"),
    ] {
        let found = server.put("/v1/models/new", TAR, archive).await;
        assert_eq!(found.problem(), (422, "model-invalid"), "{expected}");
        let detail = found.body["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{detail}");
        assert_eq!(server.models(), [""; 0]);
    }
    assert!(server.loaded.try_recv().is_err());
}

#[tokio::test]
async fn a_model_that_fails_its_self_check_is_not_stored() {
    let server = Server::refusing(Some("its self-check failed"));
    let found = server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    assert_eq!(found.problem(), (422, "model-invalid"));
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_before_the_body() {
    let server = Server::new();
    let weights = "network=target";
    for (path, content_type, expected) in [
        (
            "/v1/models/..%2Fnew".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        ("/v1/models/%2e%2e".to_owned(), TAR, (400, "invalid-field")),
        ("/v1/models/.new".to_owned(), TAR, (400, "invalid-field")),
        ("/v1/models/%FF".to_owned(), TAR, (400, "invalid-field")),
        (
            "/v1/models/new?nope=1".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?replace=yes".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?sha256=12".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            format!("/v1/models/new?{weights}"),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?network=both".to_owned(),
            OCTETS,
            (400, "invalid-field"),
        ),
        (
            format!("/v1/models/new?source={}", "x".repeat(501)),
            OCTETS,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new".to_owned(),
            "image/png",
            (415, "unsupported-media-type"),
        ),
    ] {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let found = server.put(&path, content_type, never).await;
        assert_eq!(found.problem(), expected, "{path}");
    }
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_client_says_is_not_stored() {
    let server = Server::new();
    let archive = tar(&files("new", 0));
    let other = sha256(b"something else");
    let path = format!("/v1/models/new?sha256={other}");
    let found = server.put(&path, TAR, archive.clone()).await;
    assert_eq!(found.problem(), (422, "digest-mismatch"));
    let send = async |digest: &str| {
        let request = Request::put("/v1/models/new").header(header::CONTENT_TYPE, TAR);
        let request = request.header("content-digest", digest);
        answer(
            &server.router,
            request.body(archive.clone().into()).unwrap(),
        )
        .await
        .status
    };
    assert_eq!(
        send("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:").await,
        422
    );
    assert_eq!(send("sha-512=:AAAA:").await, 400);
    assert_eq!(server.models(), [""; 0]);
    let path = format!("/v1/models/new?sha256={}", sha256(&archive));
    assert_eq!(server.put(&path, TAR, archive.clone()).await.status, 201);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_breaks_off_is_not_stored() {
    let server = Server::new();
    let long = vec![0; 1 + usize::try_from(LIMITS.bytes).unwrap()];
    let found = server.put("/v1/models/new", OCTETS, long.clone()).await;
    assert_eq!(found.problem(), (413, "upload-too-large"));
    let announced = Request::put("/v1/models/new")
        .header(header::CONTENT_TYPE, OCTETS)
        .header(header::CONTENT_LENGTH, long.len())
        .body(Body::empty());
    let found = answer(&server.router, announced.unwrap()).await;
    assert_eq!(found.problem(), (413, "upload-too-large"));
    let broken = stream::iter([
        Ok(Bytes::from_static(b"some")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let found = server
        .put("/v1/models/new", OCTETS, Body::from_stream(broken))
        .await;
    assert_eq!(found.problem(), (400, "body-incomplete"));
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_midway_leaves_nothing() {
    let server = Server::new();
    let (sent, seen) = tokio::sync::oneshot::channel();
    let some = stream::once(async {
        let _ = sent.send(()); // the test waits for it
        Ok::<_, io::Error>(Bytes::from_static(b"some"))
    });
    let body = Body::from_stream(some.chain(stream::pending()));
    let upload = server.put("/v1/models/new", OCTETS, body);
    tokio::select! {
        found = upload => panic!("{found:?}"),
        seen = async { seen.await.unwrap(); tokio::task::yield_now().await } => seen,
    }
    let imports = server.ask(Method::GET, "/v1/imports").await;
    assert_eq!(
        imports.body["data"][0]["state"], "failed",
        "{:?}",
        imports.body
    );
    assert_eq!(server.models(), [""; 0]);
    let unknown = server.ask(Method::GET, "/v1/imports/nope").await;
    assert_eq!(unknown.problem(), (404, "unknown-import"));
}

#[tokio::test]
async fn a_server_that_takes_no_uploads_says_so() {
    let router = crate::testing::serving([("tiny", ready(answers(), 4))]);
    for (method, path) in [
        (Method::PUT, "/v1/models/new"),
        (Method::DELETE, "/v1/models/tiny"),
        (Method::GET, "/v1/imports"),
    ] {
        let found = answer(&router, ask(method, path)).await;
        assert_eq!(found.problem(), (403, "uploads-off"), "{path}");
    }
}

#[tokio::test]
async fn the_files_of_a_model_are_sent_whole_and_in_parts() {
    let server = Server::new();
    let files = files("new", 0);
    server.put("/v1/models/new", TAR, tar(&files)).await;
    let listed = server.ask(Method::GET, "/v1/models/new/files").await.body;
    assert_eq!(listed["data"].as_array().unwrap().len(), files.len());
    for entry in listed["data"].as_array().unwrap() {
        let name = entry["path"].as_str().unwrap();
        let content = &files[name];
        let get = async |name: &str, headers: &[(header::HeaderName, &str)]| {
            let mut request = Request::get(format!("/v1/models/new/files/{name}"));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(server.router.clone(), request)
                .await
                .unwrap();
            let (parts, body) = response.into_parts();
            (parts, axum::body::to_bytes(body, usize::MAX).await.unwrap())
        };
        let (whole, body) = get(name, &[]).await;
        assert_eq!(
            (whole.status.as_u16(), &body[..]),
            (200, &content[..]),
            "{name}"
        );
        assert_eq!(
            whole.headers[header::CONTENT_LENGTH],
            content.len().to_string()
        );
        let etag = whole.headers[header::ETAG].to_str().unwrap();
        assert_eq!(etag, format!("\"{}\"", sha256(content)));
        let range = (header::RANGE, "bytes=1-10");
        let (piece, body) = get(name, &[range.clone(), (header::IF_RANGE, etag)]).await;
        assert_eq!((piece.status.as_u16(), &body[..]), (206, &content[1..=10]));
        let expected = format!("bytes 1-10/{}", content.len());
        assert_eq!(piece.headers[header::CONTENT_RANGE], expected);
        assert_eq!(
            get(name, &[range, (header::IF_RANGE, "\"old\"")])
                .await
                .0
                .status,
            200
        );
        let (unchanged, body) = get(name, &[(header::IF_NONE_MATCH, etag)]).await;
        assert_eq!((unchanged.status.as_u16(), body.len()), (304, 0));
        let (past, _) = get(name, &[(header::RANGE, "bytes=99999999-")]).await;
        assert_eq!(past.status, 416);
        let expected = format!("bytes */{}", content.len());
        assert_eq!(past.headers[header::CONTENT_RANGE], expected);
    }
    let head = server
        .ask(Method::HEAD, "/v1/models/new/files/model.onnx")
        .await;
    let length = files[file::ONNX].len().to_string();
    assert_eq!(
        (head.status, &head.headers[header::CONTENT_LENGTH]),
        (200, &length.parse().unwrap())
    );
}

#[tokio::test]
async fn only_the_files_that_the_manifest_lists_are_sent() {
    let server = Server::new();
    server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    let place = server.root.path().join("new");
    fs::write(place.join("secret"), b"secret").unwrap();
    fs::write(server.root.path().join("secret"), b"secret").unwrap();
    for path in [
        "new/files/secret",
        "new/files/..%2Fsecret",
        "new/files/%2e%2e/secret",
        "new/files/.%2Fmodel.onnx",
        "new/files/%2Fetc%2Fpasswd",
        "new/files/model.onnx%2F",
        "new/files/%FF",
        "old/files",
        "..%2Fnew/files",
        ".detcon-staging/files/lock",
    ] {
        let found = server.ask(Method::GET, &format!("/v1/models/{path}")).await;
        assert_eq!(found.status, 404, "{path}: {found:?}");
    }
    fs::write(place.join(file::ONNX), b"shorter").unwrap();
    let damaged = server
        .ask(Method::GET, "/v1/models/new/files/model.onnx")
        .await;
    assert_eq!(damaged.problem(), (503, "model-refused"));
}
