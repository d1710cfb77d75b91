//! A model that is served answers at every endpoint, whatever becomes of its directory: it was opened whole.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_core::arch::Stage;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, ModelUpdate};
use detcon_core::segment::HeadKind;
use detcon_tests::golden;
use detcon_tests::service::{self, Service};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::heads::{entry, name, weights};

const NAME: &str = "steady";
/// The store is looked at so often; or never.
const WATCH: [&str; 2] = ["--watch", "0.02"];
const NEVER: [&str; 3] = ["--watch", "0", "--allow-uploads"];
/// Looks in which a directory stays as it is, before it is believed to be gone and more.
const LOOKS: u32 = 12;
/// Side of the views that features are asked for: every stage has cells of it.
const SIDE: u32 = 64;

/// Every endpoint that computes with a model, and all that it may open of one.
fn endpoints() -> Vec<String> {
    let stages = [Stage::C2, Stage::C3, Stage::C4, Stage::C5];
    let features = stages.map(|stage| {
        let stage = stage.name();
        format!("/v1/features?stage={stage}&view=full&size={SIDE}")
    });
    let spaces = ["backbone", "projection"];
    let regions = spaces.map(|space| format!("/v1/regions?view=full&size={SIDE}&space={space}"));
    let segmentations = [
        "/v1/embeddings",
        "/v1/segmentations?method=kmeans&k=3&stage=c4",
        "/v1/segmentations?method=head:voc",
        "/v1/regions?method=head:voc",
        "/v2/models/steady/infer",
    ];
    let others = segmentations.map(str::to_owned).into_iter();
    features.into_iter().chain(regions).chain(others).collect()
}

fn request(client: &Client, service: &Service, path: &str) -> RequestBuilder {
    let request = client.post(service.url(path));
    if path.starts_with("/v2") {
        let side = SIDE as usize;
        let data = vec![7; side * side * 3];
        let input = json!({"name": "pixels", "shape": [1, side, side, 3], "datatype": "UINT8", "data": data});
        let outputs = ["embedding", "c2", "c5"].map(|name| json!({"name": name}));
        return request.json(&json!({"inputs": [input], "outputs": outputs}));
    }
    let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    request.header("content-type", "image/png").body(image)
}

/// Asks every endpoint once; the digests of the models that answered.
async fn ask_all(client: &Client, service: &Service) -> BTreeSet<String> {
    let mut digests = BTreeSet::new();
    for path in endpoints() {
        let response = request(client, service, &path).send().await.unwrap();
        digests.insert(answered(&path, response).await);
    }
    digests
}

/// The digest of the model that answered well.
async fn answered(path: &str, response: reqwest::Response) -> String {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    assert!(!body.is_empty(), "{path}");
    headers["x-detcon-model-digest"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// Clients that ask an endpoint each, again and again, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn start(service: &Arc<Service>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |path: String| {
            let (stop, service) = (Arc::clone(&stop), Arc::clone(service));
            async move {
                let (client, mut seen) = (detcon_tests::service::client(), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let response = request(&client, &service, &path).send().await.unwrap();
                    seen.push(answered(&path, response).await);
                }
                seen
            }
        };
        let clients = endpoints().into_iter().map(|path| tokio::spawn(ask(path)));
        let clients = clients.collect();
        Self { stop, clients }
    }

    /// How often the models of these digests answered, who alone may have.
    async fn end(self, models: &[&ModelDirectory]) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let known: Vec<_> = models.iter().map(|model| model.digest()).collect();
        let mut answers = 0;
        for client in self.clients {
            let seen = client.await.expect("no request failed");
            assert!(seen.iter().all(|digest| known.contains(&digest.as_str())));
            assert!(!seen.is_empty());
            answers += seen.len();
        }
        answers
    }
}

/// A model with stages, projector and a segmentation head.
fn made(folder: &Path, seed: u64) -> ModelDirectory {
    let place = folder.join(seed.to_string()).join(NAME);
    let source = Location::File(golden::checkpoint("tiny", seed, "released"));
    import(&source, &place, &ImportOptions::default()).unwrap();
    let model = ModelDirectory::open(&place).unwrap();
    let kind = HeadKind::Linear;
    let tensors = weights(kind, model.manifest().spec.channels(Stage::C5));
    let update = ModelUpdate::new(&model).unwrap();
    let entry = entry(kind, Stage::C5, SIDE);
    update
        .add_head(&name("voc"), entry, &tensors, Existing::Keep)
        .unwrap();
    ModelDirectory::open(&place).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Two models of one name, a store with the first, and a server of it.
struct Scene {
    models: [ModelDirectory; 2],
    place: PathBuf,
    service: Arc<Service>,
    client: Client,
    _folders: [tempfile::TempDir; 2],
}

impl Scene {
    async fn new(flags: &[&str]) -> Self {
        let (folder, store) = (tempfile::tempdir().unwrap(), service::store(&[]));
        let models = [0, 1].map(|seed| made(folder.path(), seed));
        let place = store.path().join(NAME);
        copy(models[0].path(), &place);
        let service = Arc::new(Service::start(store.path(), flags).await);
        Self {
            models,
            place,
            service,
            client: detcon_tests::service::client(),
            _folders: [folder, store],
        }
    }

    /// A place beside the model that nothing lists.
    fn hidden(&self, name: &str) -> PathBuf {
        self.place.with_file_name(name)
    }

    /// Puts a model in the place of what is there, which is removed.
    fn put(&self, model: &ModelDirectory) {
        self.put_as(|next| copy(model.path(), next));
    }

    /// The same of a directory that is made as it shall be, before anybody sees it.
    fn put_as(&self, make: impl FnOnce(&Path)) {
        let [next, old] = [".next", ".old"].map(|name| self.hidden(name));
        make(&next);
        fs::rename(&self.place, &old).unwrap();
        fs::rename(next, &self.place).unwrap();
        fs::remove_dir_all(old).unwrap();
    }

    async fn list(&self) -> Value {
        let list = self.client.get(self.service.url("/v1/models"));
        list.send().await.unwrap().json().await.unwrap()
    }

    async fn until(&self, holds: impl Fn(&Value) -> bool) {
        while !holds(&self.list().await) {
            tokio::task::yield_now().await;
        }
    }

    async fn all_answer_of(&self, model: &ModelDirectory) {
        let digests = ask_all(&self.client, &self.service).await;
        assert_eq!(digests, [model.digest().to_owned()].into());
    }

    async fn stop(self) {
        let service = Arc::into_inner(self.service).expect("nobody asks any more");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_through_swaps() {
    let scene = Scene::new(&WATCH).await;
    let [first, second] = &scene.models;
    let crowd = Crowd::start(&scene.service);
    for model in [second, first, second, first, second] {
        scene.put(model);
        scene
            .until(|list| list["data"][0]["digest"] == model.digest())
            .await;
        scene.all_answer_of(model).await;
    }
    println!(
        "{} answers during 5 swaps",
        crowd.end(&[first, second]).await
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_through_uploads_that_replace_the_model() {
    let scene = Scene::new(&NEVER).await;
    let [first, second] = &scene.models;
    let crowd = Crowd::start(&scene.service);
    for model in [second, first, second] {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", model.path()).unwrap();
        let place = scene.service.url("/v1/models/steady?replace=true");
        let put = scene
            .client
            .put(place)
            .header("content-type", "application/x-tar");
        let put = put
            .body(archive.into_inner().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(put.status(), 200, "{:?}", put.text().await);
        scene.all_answer_of(model).await;
    }
    println!(
        "{} answers during 3 uploads",
        crowd.end(&[first, second]).await
    );
    scene.stop().await;
}

/// Nobody looks at the directory, so what was served at the start is served on.
#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_of_the_model_before_where_the_directory_is_never_looked_at() {
    let scene = Scene::new(&NEVER).await;
    let [first, second] = &scene.models;
    scene.put(second);
    scene.all_answer_of(first).await;
    fs::remove_dir_all(&scene.place).unwrap();
    scene.all_answer_of(first).await;
    symlink(NAME, &scene.place).unwrap();
    scene.all_answer_of(first).await;
    fs::remove_file(&scene.place).unwrap();
    copy(second.path(), &scene.place);
    let load = scene
        .client
        .post(scene.service.url("/v1/models/steady/load"));
    assert_eq!(load.send().await.unwrap().status(), 204);
    scene.all_answer_of(second).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_of_the_model_before_where_its_successor_is_refused() {
    let scene = Scene::new(&WATCH).await;
    let [first, second] = &scene.models;
    let crowd = Crowd::start(&scene.service);
    for file in [
        "model.onnx",
        "model.stages.onnx",
        "heads.safetensors",
        "heads/voc.safetensors",
    ] {
        scene.put_as(|next| {
            copy(second.path(), next);
            fs::write(next.join(file), "damaged").unwrap();
        });
        scene
            .until(|list| list["refused"].to_string().contains(file))
            .await;
        scene.all_answer_of(first).await;
    }
    scene.put(second);
    scene
        .until(|list| list["data"][0]["digest"] == second.digest())
        .await;
    assert_eq!(scene.list().await["refused"], json!([]));
    scene.all_answer_of(second).await;
    println!("{} answers", crowd.end(&[first, second]).await);
    scene.stop().await;
}

/// A link to itself is there and cannot be read, whoever asks; permissions would not keep a privileged user out.
#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_while_the_directory_cannot_be_read_and_none_after_it_has_gone() {
    let scene = Scene::new(&WATCH).await;
    let [first, _] = &scene.models;
    let crowd = Crowd::start(&scene.service);
    let hidden = scene.hidden(".hidden");
    fs::rename(&scene.place, &hidden).unwrap();
    symlink(NAME, &scene.place).unwrap();
    // Another model comes meanwhile, which shows that the store was looked at.
    for look in 0..LOOKS {
        let other = format!("other{look}");
        let place = scene.hidden(&other);
        fs::create_dir(&place).unwrap();
        scene
            .until(|list| list["refused"].to_string().contains(&other))
            .await;
        fs::remove_dir(place).unwrap();
    }
    scene.all_answer_of(first).await;
    let ready = scene.client.get(scene.service.url("/readyz")).send().await;
    assert_eq!(ready.unwrap().status(), 200);
    println!("{} answers", crowd.end(&[first]).await);
    fs::remove_file(&scene.place).unwrap();
    scene.until(|list| list["data"] == json!([])).await;
    scene.stop().await;
}

/// As Kubernetes lays volumes: one link turns all files at once.
#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_and_every_file_is_of_the_model_that_a_link_was_turned_to() {
    let scene = Scene::new(&WATCH).await;
    let [first, second] = &scene.models;
    scene.put_as(|next| {
        fs::create_dir(next).unwrap();
        for (version, model) in ["..1", "..2"].iter().zip([first, second]) {
            copy(model.path(), &next.join(version));
        }
        symlink("..1", next.join("..data")).unwrap();
        for entry in fs::read_dir(first.path()).unwrap() {
            let name = entry.unwrap().file_name();
            symlink(Path::new("..data").join(&name), next.join(name)).unwrap();
        }
    });
    let crowd = Crowd::start(&scene.service);
    for (version, model) in [("..2", second), ("..1", first), ("..2", second)] {
        symlink(version, scene.place.join("..next")).unwrap();
        fs::rename(scene.place.join("..next"), scene.place.join("..data")).unwrap();
        scene
            .until(|list| list["data"][0]["digest"] == model.digest())
            .await;
        scene.all_answer_of(model).await;
        for (file, entry) in &model.manifest().files {
            let file = scene
                .service
                .url(&format!("/v1/models/steady/files/{file}"));
            let found = scene
                .client
                .get(file)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            assert_eq!(detcon_core::digest::sha256(&found), entry.sha256);
        }
    }
    println!(
        "{} answers during 3 turns",
        crowd.end(&[first, second]).await
    );
    scene.stop().await;
}
