//! Uploads, removals and files over HTTP, served by a stand-in that loads nothing.

mod files;
mod hub;
mod links;
mod refusals;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use detcon_converter::demo::demo;
use detcon_core::digest::sha256;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, file, list};
use serde_json::json;

use super::*;
use crate::protect::Protection;
use crate::serve::routes::router;
use crate::testing::{Answer, answer, answers, ask, ready, stored};

const LIMIT: u64 = 2 << 20;
const TAR: &str = "application/x-tar";
const OCTETS: &str = "application/octet-stream";

/// Says what it is told to load and to unload.
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

    fn unload(&self, name: &str) {
        let _ = self.loaded.send(format!("-{name}").into()); // the same
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
        let (store, worker) = Store::writable(root.path().to_owned(), None, LIMIT).unwrap();
        let (sender, loaded) = mpsc::channel();
        worker
            .start(Told {
                loaded: sender,
                refusal,
            })
            .unwrap();
        let models = [("tiny", ready(answers(), 4))];
        let app = stored(models, Duration::from_mins(1), store);
        Self {
            root,
            router: router(app, Protection::default()),
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
async fn a_model_that_goes_is_unloaded_and_one_that_stays_is_loaded_again() {
    let server = Server::new();
    server
        .put("/v1/models/tiny", TAR, tar(&files("tiny", 0)))
        .await;
    for (method, path) in [
        (Method::POST, "/v1/models/tiny/unload"),
        (Method::POST, "/v1/models/tiny/load"),
        (Method::DELETE, "/v1/models/tiny"),
    ] {
        assert_eq!(server.ask(method, path).await.status, 204, "{path}");
    }
    let place = server.root.path().join("tiny");
    let told: Vec<_> = server.loaded.try_iter().collect();
    assert_eq!(told, [place.clone(), "-tiny".into(), place, "-tiny".into()]);
    for path in ["/v1/models/tiny/unload", "/v1/models/tiny/load"] {
        let gone = server.ask(Method::POST, path).await;
        assert_eq!(gone.problem(), (404, "unknown-model"));
    }
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
