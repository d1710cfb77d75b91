//! Models that come, change and go while they are asked for embeddings, and a server that ends while it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_core::model::ModelDirectory;
use detcon_tests::golden;
use detcon_tests::service::{self, Service};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answers::vectors;

/// Name of the model that is swapped; short, because it is looked for among the names of threads.
const NAME: &str = "swapped";
/// How often the store is looked at.
const WATCH: [&str; 2] = ["--watch", "0.02"];

fn photograph() -> Vec<u8> {
    fs::read(&golden::files("images", &["png"])[0]).unwrap()
}

/// Untrained models of the same name and other weights.
fn versions(stores: &[tempfile::TempDir]) -> Vec<ModelDirectory> {
    let made = stores.iter().zip(0..);
    let made = made.map(|(store, seed)| {
        let place = store.path().join(NAME);
        demo(&place, Existing::Keep, "tiny".parse().unwrap(), seed).unwrap();
        ModelDirectory::open(&place).unwrap()
    });
    made.collect()
}

/// Puts a model in the place of the one that is there, as the converter does: with renames.
fn put(model: &Path, store: &Path) {
    let (next, place, old) = (store.join(".next"), store.join(NAME), store.join(".old"));
    fs::create_dir(&next).unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), next.join(entry.file_name())).unwrap();
    }
    let there = place.exists();
    if there {
        fs::rename(&place, &old).unwrap();
    }
    fs::rename(next, place).unwrap();
    if there {
        fs::remove_dir_all(old).unwrap();
    }
}

/// Digests of the models that are served.
async fn served(client: &Client, service: &Service) -> Vec<String> {
    let list = client.get(service.url("/v1/models")).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let models = list["data"].as_array().unwrap().iter();
    models
        .map(|model| model["digest"].as_str().unwrap().to_owned())
        .collect()
}

async fn until_served(client: &Client, service: &Service, digests: &[&str]) {
    while served(client, service).await != digests {
        tokio::task::yield_now().await;
    }
}

/// An answer to the photograph: the digest that it names, and the vector.
async fn embed(client: &Client, service_url: &str, image: &[u8]) -> (String, Vec<f32>) {
    let request = client.post(service_url).body(image.to_vec());
    let request = request.header("content-type", "image/png");
    let response = request.send().await.expect("an answer");
    let digest = &response.headers()["x-detcon-model-digest"];
    let digest = digest.to_str().unwrap().to_owned();
    (digest, vectors(response).await.remove(0))
}

/// Threads of engines of the swapped model.
#[cfg(target_os = "linux")]
fn engines() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == format!("engine {NAME}"))
        .count()
}

/// Asks for embeddings until it is told to stop; the digests that made them, each embedding being that model's.
async fn ask_until(
    stop: Arc<AtomicBool>,
    url: String,
    expected: Arc<BTreeMap<String, Vec<f32>>>,
) -> Vec<String> {
    let (client, image, mut seen) = (detcon_tests::service::client(), photograph(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let (digest, vector) = embed(&client, &url, &image).await;
        let error = golden::largest_error(&vector, &expected[&digest]);
        assert!(error <= 1e-5, "{error:e} from the embedding of {digest}");
        seen.push(digest);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_swaps_under_load_fail_no_request_and_every_answer_is_of_the_model_it_names() {
    let stores = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (models, image, client) = (
        versions(&stores),
        photograph(),
        detcon_tests::service::client(),
    );
    let mut expected = BTreeMap::new();
    for store in &stores {
        let alone = Service::start(store.path(), &[]).await;
        let (digest, vector) = embed(&client, &alone.url("/v1/embeddings"), &image).await;
        expected.insert(digest, vector);
        alone.stop().await;
    }
    let store = service::store(&[]);
    put(models[0].path(), store.path());
    let service = Service::start(store.path(), &WATCH).await;
    let (stop, expected) = (Arc::new(AtomicBool::new(false)), Arc::new(expected));
    let url = service.url("/v1/embeddings");
    let clients: Vec<_> = (0..4)
        .map(|_| ask_until(Arc::clone(&stop), url.clone(), Arc::clone(&expected)))
        .map(tokio::spawn)
        .collect();
    for swap in 1..=20 {
        let model = &models[swap % 2];
        put(model.path(), store.path());
        until_served(&client, &service, &[model.digest()]).await;
        // From here on it is the new one.
        assert_eq!(embed(&client, &url, &image).await.0, model.digest());
        let ready = client.get(service.url("/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 200);
    }
    stop.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for asked in clients {
        answers.extend(asked.await.expect("no request failed"));
    }
    let digests: BTreeSet<_> = answers.iter().collect();
    println!("{} answers during 20 swaps", answers.len());
    assert_eq!(digests, expected.keys().collect());
    #[cfg(target_os = "linux")]
    while engines() != 1 {
        tokio::task::yield_now().await; // models of before are unloaded once their requests are answered
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_come_and_go_and_one_that_fails_its_checks_takes_nobodys_place() {
    let store = service::store(&[]);
    let service = Service::start(store.path(), &WATCH).await;
    let client = detcon_tests::service::client();
    let stores = [(); 1].map(|()| tempfile::tempdir().unwrap());
    let model = &versions(&stores)[0];
    put(model.path(), store.path());
    until_served(&client, &service, &[model.digest()]).await;

    let place: PathBuf = store.path().join(NAME);
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(place.join("manifest.json")).unwrap()).unwrap();
    manifest["files"]["model.onnx"]["bytes"] = 1.into();
    fs::write(place.join("manifest.json"), manifest.to_string()).unwrap();
    let refused = loop {
        let list = client.get(service.url("/v1/models")).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        if let Some(refused) = list["refused"].get(0) {
            break refused.clone();
        }
        tokio::task::yield_now().await;
    };
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("model.onnx is damaged"), "{reason}");
    assert_eq!(served(&client, &service).await, [model.digest()]);
    let (digest, _) = embed(&client, &service.url("/v1/embeddings"), &photograph()).await;
    assert_eq!(digest, model.digest());

    fs::remove_dir_all(place).unwrap();
    until_served(&client, &service, &[]).await;
    let nobody = client.get(service.url("/v1/models/swapped")).send().await;
    assert_eq!(nobody.unwrap().status(), 404);
    service.stop().await;
}

/// `100 Continue` tells that the server is at a request. All of them are before it is asked to stop.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_was_accepted_is_answered_when_the_server_stops_under_load() {
    let stores = [(); 1].map(|()| tempfile::tempdir().unwrap());
    let _ = versions(&stores);
    let service = Service::start(stores[0].path(), &[]).await;
    let image = photograph();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        image.len()
    );
    let mut connections = Vec::new();
    for _ in 0..64 {
        let mut connection = TcpStream::connect(service.address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut interim = [0; 25];
        connection.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        connections.push(connection);
    }
    let stopped = tokio::spawn(service.stop());
    for connection in &mut connections {
        connection.write_all(&image).await.unwrap();
    }
    for mut connection in connections {
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    stopped.await.unwrap();
}

/// The delay has to be long enough for two requests on a busy machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_to_stop_says_so_before_it_takes_no_more_requests() {
    let stores = [(); 1].map(|()| tempfile::tempdir().unwrap());
    let model = versions(&stores).remove(0);
    let service = Service::start(stores[0].path(), &["--shutdown-delay", "4"]).await;
    let (client, ready, url) = (
        detcon_tests::service::client(),
        service.url("/readyz"),
        service.url("/v1/embeddings"),
    );
    assert_eq!(client.get(&ready).send().await.unwrap().status(), 200);
    let stopped = tokio::spawn(service.stop());
    while client.get(&ready).send().await.unwrap().status() != StatusCode::SERVICE_UNAVAILABLE {
        tokio::task::yield_now().await;
    }
    let (digest, _) = embed(&client, &url, &photograph()).await;
    assert_eq!(digest, model.digest());
    stopped.await.unwrap();
    assert!(client.get(&ready).send().await.is_err());
}
