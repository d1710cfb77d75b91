//! A server that is killed while it takes an upload: at the next start the store is whole.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, file, list};
use serde_json::Value;
use ureq::{Agent, SendBody};

use super::{program, wait_until_ready};

/// How often the server is killed, if `DETCON_TEST_KILLS` does not say.
const KILLS: usize = 8;
/// Sent at a time.
const PIECE: usize = 16 << 10;
/// The fraction of the golden ratio: its multiples spread evenly between 0 and 1, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// What an upload is, and when the server is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// A model directory, while its bytes arrive.
    Receiving,
    /// A model directory, after that.
    Storing,
    /// A checkpoint, after its bytes have arrived.
    Converting,
}

/// A model of which uploads are made.
struct Sample {
    archive: Vec<u8>,
    checkpoint: Vec<u8>,
    /// Digest of its weights, by which it is known.
    weights: String,
}

impl Sample {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("try");
        demo(&place, Existing::Keep, "tiny".parse().unwrap(), seed).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir_all(".", &place).unwrap();
        Self {
            archive: builder.into_inner().unwrap(),
            checkpoint: fs::read(place.join(file::BACKBONE)).unwrap(),
            weights: weights(&place),
        }
    }
}

/// Digest of a model's weights.
fn weights(directory: &Path) -> String {
    let directory = ModelDirectory::open(directory).unwrap();
    directory.manifest().files[file::BACKBONE].sha256.clone()
}

/// A body that says when it has been read up to a place, and waits there, if it is not the end, until the server is
/// killed.
struct Announced<'a> {
    rest: &'a [u8],
    left_at_place: usize,
    reached: Option<Sender<()>>,
    killed: Receiver<()>,
}

impl Read for Announced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = self.rest.len() - self.left_at_place;
        let length = buffer.len().min(PIECE).min(until);
        let read = self.rest.read(&mut buffer[..length])?;
        if self.rest.len() == self.left_at_place {
            self.reached = None;
        }
        if read == 0 && !self.rest.is_empty() {
            let _ = self.killed.recv(); // its sender goes when the server is killed
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(read)
    }
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(store: &Path) -> Self {
        let mut command = program();
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--allow-uploads",
                "--log",
                "error",
                "--models",
            ])
            .arg(store);
        let mut child = command.spawn().unwrap();
        let lines = wait_until_ready(&mut child);
        let url = lines[0].rsplit(' ').next().unwrap().to_owned();
        Self { child, url }
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = agent().get(format!("{}{path}", self.url)).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// SIGKILL: nothing of the server's runs after it.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

/// Uploads, and says whether the model is stored; none where the connection breaks.
fn upload(url: &str, sample: &Sample, moment: Moment, body: Announced<'_>) -> Option<bool> {
    let content_type = match moment {
        Moment::Receiving | Moment::Storing => "application/x-tar",
        Moment::Converting => "application/octet-stream",
    };
    let length = body.rest.len();
    let mut body = body;
    let request = agent()
        .put(format!(
            "{url}/v1/models/try?replace=true&sha256={}",
            digest(sample, moment)
        ))
        .header("content-type", content_type)
        .header("content-length", length.to_string());
    let answer = request.send(SendBody::from_reader(&mut body)).ok()?;
    let place = answer.headers().get("location").unwrap().to_str().unwrap();
    match answer.status().as_u16() {
        200 => Some(true),
        202 => loop {
            let mut answer = agent().get(format!("{url}{place}")).call().ok()?;
            let import: Value =
                serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
            match import["state"].as_str().unwrap() {
                "done" => return Some(true),
                "failed" => panic!("{import}"),
                _ => std::thread::yield_now(),
            }
        },
        status => panic!("{status}"),
    }
}

fn body(sample: &Sample, moment: Moment) -> &[u8] {
    match moment {
        Moment::Receiving | Moment::Storing => &sample.archive,
        Moment::Converting => &sample.checkpoint,
    }
}

fn digest(sample: &Sample, moment: Moment) -> String {
    detcon_core::digest::sha256(body(sample, moment))
}

/// Uploads in a thread, waits for the moment, kills the server; says whether the upload was answered well before.
fn killed_at(server: Server, sample: &Sample, moment: Moment, share: f64, whole: Duration) -> bool {
    let bytes = body(sample, moment);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a few million"
    )]
    let left_at_place = match moment {
        Moment::Receiving => 1 + (bytes.len() as f64 * share) as usize,
        Moment::Storing | Moment::Converting => 0,
    };
    let (arrived, at_place): (_, Receiver<()>) = channel();
    let (alive, until_killed) = channel();
    let announced = Announced {
        rest: bytes,
        left_at_place: left_at_place.min(bytes.len()),
        reached: Some(arrived),
        killed: until_killed,
    };
    let url = server.url.clone();
    std::thread::scope(|scope| {
        let (told, answered) = channel();
        let uploading = scope.spawn(move || {
            let stored = upload(&url, sample, moment, announced);
            let _ = told.send(()); // the test may have gone on
            stored
        });
        let _ = at_place.recv(); // its sender goes when the place is reached
        if !matches!(moment, Moment::Receiving) {
            let _ = answered.recv_timeout(whole.mul_f64(share)); // or the moment has come
        }
        server.kill();
        drop(alive);
        uploading.join().unwrap().unwrap_or(false)
    })
}

/// Every model verifies, nothing is left of uploads, and the model that is served is one of the two.
fn check(store: &Path, server: &Server, expected: &[&str]) -> String {
    for directory in list(store).unwrap() {
        ModelDirectory::open(&directory).unwrap();
    }
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(store), [".detcon-staging", "try"]);
    assert_eq!(names(&store.join(".detcon-staging")), ["lock"]);
    let found = server.get("/v1/models/try");
    let found = found["files"][file::BACKBONE]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(expected.contains(&&*found), "another model is served");
    assert_eq!(found, weights(&store.join("try")));
    found
}

#[test]
fn a_server_killed_during_an_upload_leaves_the_store_whole() {
    let kills = std::env::var("DETCON_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    demo(
        &store.join("try"),
        Existing::Keep,
        "tiny".parse().unwrap(),
        0,
    )
    .unwrap();
    let samples = [Sample::new(0), Sample::new(1)];
    let [mut old, mut new] = [&samples[0], &samples[1]];
    let (mut share, mut outcomes) = (0.0, [0, 0]);
    let mut durations = [Duration::ZERO; 2];
    for (duration, moment) in durations
        .iter_mut()
        .zip([Moment::Storing, Moment::Converting])
    {
        let server = Server::start(&store);
        let start = Instant::now();
        assert!(
            killed_at(server, new, moment, 1.0, Duration::from_mins(5)),
            "{moment:?}"
        );
        *duration = start.elapsed();
        std::mem::swap(&mut old, &mut new);
    }
    let moments = [Moment::Receiving, Moment::Storing, Moment::Converting];
    let mut server = Server::start(&store);
    for moment in moments.into_iter().cycle().take(kills) {
        share = (share + GOLDEN) % 1.0;
        let whole = match moment {
            Moment::Receiving | Moment::Storing => durations[0],
            Moment::Converting => durations[1],
        };
        let answered = killed_at(server, new, moment, share, whole);
        server = Server::start(&store);
        let found = check(&store, &server, &[&old.weights, &new.weights]);
        assert!(
            !answered || found == new.weights,
            "what was stored by its answer is gone"
        );
        outcomes[usize::from(found == new.weights)] += 1;
        if found == new.weights {
            std::mem::swap(&mut old, &mut new);
        }
    }
    println!(
        "{kills} kills: the old model after {}, the new one after {}",
        outcomes[0], outcomes[1]
    );
    server.kill();
}
