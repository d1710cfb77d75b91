//! What a server is like after half an hour of all that happens to it at once: a crowd of which some are hostile and
//! some leave, its model replaced over and over, another written and removed, its store gone for moments.
//!
//!   make soak MINUTES=30
//!
//! It runs the program in `DETCON_SERVER`, by default `target/release/detcon-server`, on an S3 server in this process,
//! and writes what it had of memory, descriptors and threads in each quiet moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_core::model::ModelDirectory;
use detcon_server::cli::bench::target::{Resources, Target};
use detcon_tests::crowd::{self, Crowd, Outcomes};
use detcon_tests::{golden, results, service};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[path = "../../server/src/models/store/remote/tests/s3.rs"]
mod s3;

use s3::{BUCKET, KEY, S3, SECRET};

/// Requests of a crowd; between two there is a quiet moment.
const REQUESTS: usize = 4_000;
/// At the same time.
const CLIENTS: usize = 24;
/// Between two changes of the served model.
const CHANGE: Duration = Duration::from_secs(2);
/// How long the store is gone, and how long it is there.
const STORE: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(17)];
/// Statuses of an upload while the store is gone.
const STORE_GONE: [u16; 2] = [502, 503];
/// How long the server keeps connections, in seconds: longer than changes are apart, shorter than the quiet.
const KEEP_ALIVE: &str = "4";
/// How long the quiet lasts before it is measured: connections that nobody uses any more are closed.
const QUIET: Duration = Duration::from_secs(8);
const NAME: &str = "served";
const SECOND: &str = "second";

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let minutes = std::env::var("MINUTES").map_or(Ok(30.0), |minutes| minutes.parse());
    let minutes: f64 = minutes.expect("MINUTES is a number");
    let s3 = S3::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(soak(&s3, Duration::from_secs_f64(minutes * 60.0)));
}

async fn soak(s3: &S3, length: Duration) {
    let program = std::env::var_os("DETCON_SERVER").map_or_else(
        || golden::workspace().join("target/release/detcon-server"),
        PathBuf::from,
    );
    let made = tempfile::tempdir().expect("a folder");
    let [served, second] =
        [NAME, SECOND].map(|name| [0, 1].map(|seed| model(made.path(), name, seed)));
    fill(s3, &served[0]);
    let cache = tempfile::tempdir().expect("a folder");
    let target = start(&program, s3, cache.path()).await;
    let archives = [served, second].map(|models| models.map(|model| archive(&model)));
    let over = Arc::new(AtomicBool::new(false));
    let changes = change(&target, archives, Arc::clone(&over));
    let (begin, mut moments, mut outcomes) = (Instant::now(), Vec::new(), Outcomes::default());
    let mut seed = 0;
    while begin.elapsed() < length {
        outcomes.add(send(&target, s3, seed).await);
        tokio::time::sleep(QUIET).await;
        let resources = target.resources().expect("a process of our own");
        println!(
            "{:6.1} min: {resources}",
            begin.elapsed().as_secs_f64() / 60.0
        );
        moments.push((begin.elapsed(), resources));
        seed += 1;
    }
    over.store(true, Ordering::Relaxed);
    let changes = changes.await.expect("the changes go on to the end");
    report(&outcomes, &changes, &moments);
}

fn model(folder: &Path, name: &str, seed: u64) -> ModelDirectory {
    let place = folder.join(seed.to_string()).join(name);
    let tiny = "tiny".parse().expect("there is such a network");
    demo(&place, Existing::Keep, tiny, seed).expect("a model can be made");
    ModelDirectory::open(&place).expect("it was made")
}

/// The bucket with a model in it, as a client that copies files leaves it.
fn fill(s3: &S3, model: &ModelDirectory) {
    let place = s3.folder.path().join(BUCKET).join(NAME);
    fs::create_dir(&place).expect("a folder of our own");
    for file in fs::read_dir(model.path()).expect("it is there") {
        let file = file.expect("it can be listed");
        fs::copy(file.path(), place.join(file.file_name())).expect("it can be copied");
    }
}

async fn start(program: &Path, s3: &S3, cache: &Path) -> Target {
    let cache = cache.to_str().expect("paths are UTF-8");
    let mut flags = crowd::flags().to_vec();
    let more = [
        "--cache",
        cache,
        "--watch",
        "1",
        "--allow-uploads",
        "--default-model",
        NAME,
        "--keep-alive",
        KEEP_ALIVE,
    ];
    flags.extend(more.map(str::to_owned));
    let variables = [
        ("AWS_ENDPOINT", format!("http://{}", s3.address)),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    let store = PathBuf::from(format!("s3://{BUCKET}"));
    let target = Target::start_with(program, &store, &flags, &variables).await;
    let target = target.expect("the server starts");
    target.ready().await.expect("the server gets ready");
    target
}

/// A model directory as a tar archive.
fn archive(model: &ModelDirectory) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in fs::read_dir(model.path()).expect("it is there") {
        let file = file.expect("it can be listed");
        let added = builder.append_path_with_name(file.path(), file.file_name());
        added.expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}

/// What became of uploads and removals.
#[derive(Debug, Default)]
struct Changes {
    done: usize,
    /// Refused with the store's own trouble, or while another was under way.
    refused: usize,
    wrong: Vec<String>,
}

/// Replaces the served model by another one, back and forth; writes a second one and removes it.
fn change(
    target: &Target,
    archives: [[Vec<u8>; 2]; 2],
    over: Arc<AtomicBool>,
) -> JoinHandle<Changes> {
    let url = |name: &str| target.url(&format!("/v1/models/{name}"));
    let (served, second) = (url(NAME) + "?replace=true", url(SECOND));
    tokio::spawn(async move {
        let (client, mut changes) = (service::client(), Changes::default());
        let put = |url: &str, archive: &[u8]| {
            let request = client.put(url).header("content-type", "application/x-tar");
            request.body(archive.to_vec())
        };
        for turn in 1.. {
            let steps = [
                ("replace", put(&served, &archives[0][turn % 2])),
                ("write", put(&second, &archives[1][turn % 2])),
                ("remove", client.delete(&second)),
            ];
            for (what, request) in steps {
                tokio::time::sleep(CHANGE).await;
                if over.load(Ordering::Relaxed) {
                    return changes;
                }
                changes.count(
                    what,
                    request.send().await.map(|answer| answer.status().as_u16()),
                );
            }
        }
        changes
    })
}

impl Changes {
    fn count(&mut self, what: &str, status: reqwest::Result<u16>) {
        match (what, status) {
            (_, Ok(200 | 201 | 204)) => self.done += 1,
            // What could not be written cannot be removed; what could not be removed is there already.
            ("remove", Ok(404)) | ("write", Ok(409)) => self.refused += 1,
            (_, Ok(status)) if STORE_GONE.contains(&status) => self.refused += 1,
            (what, status) => self.wrong.push(format!("{what}: {status:?}")),
        }
    }
}

/// A crowd; meanwhile the store comes and goes.
async fn send(target: &Target, s3: &S3, seed: u64) -> Outcomes {
    let address = target.url("").trim_start_matches("http://").parse();
    let crowd = Crowd {
        requests: REQUESTS,
        clients: CLIENTS,
        seed,
    };
    let crowd = crowd::send(address.expect("it has an address"), crowd);
    let store = async {
        loop {
            tokio::time::sleep(STORE[1]).await;
            s3.ask(|| false);
            tokio::time::sleep(STORE[0]).await;
            s3.ask(|| true);
        }
    };
    let outcomes = tokio::select! {
        outcomes = crowd => outcomes,
        () = store => unreachable!("it comes and goes for ever"),
    };
    s3.ask(|| true);
    outcomes
}

fn report(outcomes: &Outcomes, changes: &Changes, moments: &[(Duration, Resources)]) {
    println!("{} requests: {outcomes:?}", outcomes.requests());
    println!("changes: {changes:?}");
    let rows = moments.iter().map(|(when, it)| {
        json!({"seconds": when.as_secs(), "memory": it.memory, "descriptors": it.descriptors, "threads": it.threads})
    });
    results::write(
        "soak",
        &json!({"requests": outcomes.requests(), "answered": outcomes.answered, "refused": outcomes.refused,
                "rejected": outcomes.rejected, "left": outcomes.left, "ended": outcomes.ended, "wrong": outcomes.wrong,
                "changes": changes.done, "changes_refused": changes.refused, "changes_wrong": changes.wrong,
                "moments": rows.collect::<Vec<Value>>()}),
    );
}
