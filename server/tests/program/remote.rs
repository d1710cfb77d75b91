//! Models in an S3 store: served, uploaded, followed by another server, removed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_core::model::{file, list};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ureq::Agent;

use super::{program, store, wait_until_ready};

#[path = "../../src/models/store/remote/tests/s3.rs"]
mod s3;

use s3::{BUCKET, KEY, S3, SECRET};

/// How often a server is asked whether it has what another wrote.
const POLL: Duration = Duration::from_millis(200);
const PREFIX: &str = "prefix";

/// A server of the models in a store.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = wait_until_ready(&mut child);
        let url = lines[0].rsplit(' ').next().unwrap().to_owned();
        Self { child, url }
    }

    /// Digests of the served models by name.
    fn models(&self) -> Vec<(String, String)> {
        let list = agent().get(format!("{}/v1/models", self.url)).call();
        let list = list.unwrap().body_mut().read_to_string().unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        let text = |model: &Value, key: &str| model[key].as_str().unwrap().to_owned();
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| (text(model, "id"), text(model, "digest")))
            .collect()
    }

    fn until_it_has(&self, models: &[(String, String)]) {
        while self.models() != models {
            std::thread::sleep(POLL);
        }
    }

    fn embedding(&self) -> Vec<u8> {
        let image = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../core/tests/fixtures/baseline_420.jpg"
        );
        let request = agent().post(format!("{}/v1/embeddings?model=try", self.url));
        let request = request
            .header("accept", "application/x-npy")
            .header("content-type", "image/jpeg");
        let mut answer = request.send(fs::read(image).unwrap()).unwrap();
        assert_eq!(answer.status(), 200);
        answer.body_mut().read_to_vec().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> Agent {
    let agent = Agent::config_builder().http_status_as_error(false);
    agent.build().into()
}

fn local(store: &Path) -> Command {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--log", "error", "--models"]);
    command.arg(store);
    command
}

/// A server of what is in the bucket, with a cache of its own, which looks at the bucket every second.
fn remote(s3: &S3, secret: &str, cache: &Path) -> Command {
    let mut command = local(Path::new(&format!("s3://{BUCKET}/{PREFIX}")));
    command
        .arg("--cache")
        .arg(cache)
        .env("DETCON_WATCH", "1")
        .env("AWS_ENDPOINT", format!("http://{}", s3.address))
        .envs([("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")])
        .envs([
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ]);
    command
}

/// A model directory as a tar archive.
fn archive(seed: u64) -> Vec<u8> {
    archive_of("second", seed)
}

fn archive_of(name: &str, seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(name);
    demo(&place, Existing::Keep, "tiny".parse().unwrap(), seed).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", &place).unwrap();
    builder.into_inner().unwrap()
}

/// A server's bucket with the models of a folder in it.
fn bucket_of(store: &Path) -> S3 {
    let s3 = S3::start();
    let there = s3.folder.path().join(BUCKET).join(PREFIX).join("try");
    fs::create_dir_all(&there).unwrap();
    for file in fs::read_dir(store.join("try")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), there.join(file.file_name())).unwrap();
    }
    s3
}

#[test]
fn models_in_a_bucket_are_served_uploaded_followed_and_removed() {
    let (store, caches) = (store(), [tempfile::tempdir(), tempfile::tempdir()]);
    let caches = caches.map(Result::unwrap);
    let s3 = bucket_of(store.path());
    let expected = Server::start(local(store.path())).embedding();
    let mut writing = remote(&s3, SECRET, caches[0].path());
    writing.arg("--allow-uploads");
    let writer = Server::start(writing);
    let reader = Server::start(remote(&s3, SECRET, caches[1].path()));
    assert_eq!(writer.embedding(), expected);
    assert_eq!(reader.embedding(), expected);

    let at_first = writer.models();
    let second = format!("{}/v1/models/second", writer.url);
    let put = agent()
        .put(&second)
        .header("content-type", "application/x-tar");
    assert_eq!(put.send(archive(1)).unwrap().status(), 201);
    let both = writer.models();
    assert_eq!(both.len(), 2);
    reader.until_it_has(&both);
    assert_eq!(agent().delete(&second).call().unwrap().status(), 204);
    reader.until_it_has(&at_first);
    // The S3 server leaves empty folders.
    let second = s3.folder.path().join(BUCKET).join(PREFIX).join("second");
    let left = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(left(&second.join("objects")), 0);
    assert!(left(&second) <= 1, "the folder of the objects");
    assert_eq!(reader.embedding(), expected);
}

#[test]
fn a_store_that_refuses_is_one_line_that_says_what_to_do() {
    let (store, cache) = (store(), tempfile::tempdir().unwrap());
    let s3 = bucket_of(store.path());
    let output = remote(&s3, "wrong", cache.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("refuses the credentials") && said.contains("AWS_SECRET_ACCESS_KEY"),
        "{said}"
    );
}

#[test]
fn a_model_that_is_not_what_its_manifest_says_is_refused_with_the_reason() {
    let (store, cache) = (store(), tempfile::tempdir().unwrap());
    let s3 = bucket_of(store.path());
    let model = s3.folder.path().join(BUCKET).join(PREFIX).join("try");
    let whole = fs::read(model.join(file::BACKBONE)).unwrap();
    fs::write(model.join(file::BACKBONE), vec![0; whole.len()]).unwrap();
    let server = Server::start(remote(&s3, SECRET, cache.path()));
    let get = |path| agent().get(format!("{}{path}", server.url)).call().unwrap();
    assert_eq!(get("/livez").status(), 200);
    assert_eq!(get("/readyz").status(), 503);
    let said = get("/v1/models").body_mut().read_to_string().unwrap();
    assert!(said.contains("not what its manifest says"), "{said}");
    let kept = fs::read_dir(cache.path()).unwrap().flatten();
    let kept = kept.map(|folder| list(&folder.path()).unwrap());
    assert_eq!(kept.flatten().count(), 0);
    fs::write(model.join(file::BACKBONE), whole).unwrap();
    while server.models().is_empty() {
        std::thread::sleep(POLL);
    }
}

/// What a server with an empty cache serves of the bucket.
fn with_empty_cache(s3: &S3) -> Vec<(String, String)> {
    let cache = tempfile::tempdir().unwrap();
    Server::start(remote(s3, SECRET, cache.path())).models()
}

/// The server is killed in the moment in which it asks for one request more than it is given: requests to the store are
/// the only steps that readers can see.
#[test]
fn a_server_that_is_killed_while_it_replaces_a_model_leaves_readers_the_old_one_or_the_new() {
    let store = store();
    let old = Server::start(local(store.path())).models();
    let new = archive_of("try", 1);
    let (mut seen, mut kills) = (Vec::new(), 0);
    for most in 0.. {
        let (s3, cache) = (bucket_of(store.path()), tempfile::tempdir().unwrap());
        let mut writing = remote(&s3, SECRET, cache.path());
        writing.arg("--allow-uploads").env("DETCON_WATCH", "0");
        let mut writer = Server::start(writing);
        assert_eq!(writer.models(), old);
        let (asked, pid) = (
            Arc::new(AtomicUsize::new(0)),
            Pid::from_child(&writer.child),
        );
        let counter = Arc::clone(&asked);
        s3.ask(move || {
            let more = counter.fetch_add(1, Ordering::SeqCst) < most;
            if !more {
                kill_process(pid, Signal::KILL).unwrap();
            }
            more
        });
        let put = format!("{}/v1/models/try?replace=true", writer.url);
        let put = agent()
            .put(&put)
            .header("content-type", "application/x-tar");
        let answer = put.send(&new[..]).map(|answer| answer.status().as_u16());
        let over = asked.load(Ordering::SeqCst) <= most;
        s3.ask(|| true);
        if over {
            assert_eq!(answer.unwrap(), 200);
            assert_eq!(with_empty_cache(&s3), writer.models());
            break;
        }
        writer.child.wait().unwrap();
        kills += 1;
        let found = with_empty_cache(&s3);
        assert_eq!(found.len(), 1, "after {most} requests");
        seen.push(found);
    }
    let turn = seen
        .iter()
        .position(|found| *found != old)
        .expect("it was replaced");
    println!(
        "{kills} kills: readers of the old {turn}, of the new {}",
        kills - turn
    );
    assert!(
        seen[turn..]
            .iter()
            .all(|found| *found == seen[turn] && *found != old),
        "{seen:?}"
    );
}
