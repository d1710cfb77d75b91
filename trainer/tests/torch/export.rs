use std::fs;
use std::path::Path;

use detcon_converter::export::Kernels;
use detcon_converter::verify::verify;
use detcon_core::checkpoint::tensors_from_bytes;
use detcon_core::files::Existing;
use detcon_core::image;
use detcon_core::model::{ModelDirectory, file};
use detcon_core::preprocess::Preprocess;
use detcon_tests::golden::{self, largest_error};
use detcon_tests::service::{self, Service};
use detcon_trainer::export::{At, ExportOptions, Exported, Weights, export};
use detcon_trainer::network::{Mode, Network};
use detcon_trainer::recipe::Recipe;
use detcon_trainer::run::{best, latest, list, read};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};

use crate::run::{finish, recipe};

fn options(at: At, weights: Weights, existing: Existing) -> ExportOptions {
    ExportOptions {
        at,
        weights,
        existing,
        license: Some("CC0-1.0".to_owned()),
    }
}

fn last(weights: Weights) -> ExportOptions {
    options(At::Last, weights, Existing::Replace)
}

/// A network of the run's last checkpoint.
fn trained(run: &Path, recipe: &Recipe, weights: Weights) -> Network {
    let mut learner = recipe.learner(recipe.batch, Device::Cpu);
    let state = read(&latest(run).unwrap().unwrap()).unwrap();
    learner.restore(&state, Device::Cpu).unwrap();
    match weights {
        Weights::Online => learner.online().copy(),
        Weights::Target => learner.target().unwrap().copy(),
    }
}

/// The embedding of a photograph and its projection, computed by libtorch.
fn own(network: &mut Network, photograph: &[u8], side: u32) -> [Vec<f32>; 2] {
    let pixels = image::decode(photograph, &image::ImageLimits::default()).unwrap();
    let pixels = Preprocess::center_crop(side).unwrap().apply(&pixels);
    let side = i64::from(side);
    let pixels = Tensor::from_slice(pixels.pixels()).reshape([1, side, side, 3]);
    let images = pixels.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
    no_grad(|| {
        let features = network.features(&images, Mode::Evaluate);
        let embedding = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
        let projection = network.pass(Mode::Evaluate).project(&embedding);
        [embedding, projection].map(|it| Vec::try_from(it.reshape([-1])).unwrap())
    })
}

/// The same over HTTP: `/v1/embeddings`, and the projection of one region that is the whole image; with the digest of the
/// model that answered.
async fn served(service: &Service, photograph: &[u8]) -> (String, [Vec<f32>; 2]) {
    let client = detcon_tests::service::client();
    let request = client.post(service.url("/v1/embeddings"));
    let request = request
        .header("content-type", "image/png")
        .body(photograph.to_vec());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let digest = response.headers()["x-detcon-model-digest"]
        .to_str()
        .unwrap()
        .to_owned();
    let embeddings: Value = response.json().await.unwrap();
    let form = Form::new()
        .part("image", Part::bytes(photograph.to_vec()))
        .text("boxes", "[[0, 0, 100000, 100000]]")
        .text("space", "projection")
        .text("view", "center");
    let request = client.post(service.url("/v1/regions")).multipart(form);
    let response = request.send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let regions: Value = serde_json::from_str(&text).unwrap();
    let vectors = [&embeddings["data"][0], &regions["regions"][0]];
    let vectors = vectors.map(|it| serde_json::from_value(it["embedding"].clone()).unwrap());
    (digest, vectors)
}

fn assert_same(what: &str, found: &[Vec<f32>; 2], expected: &[Vec<f32>; 2]) {
    for (space, (found, expected)) in ["embedding", "projection"]
        .iter()
        .zip(found.iter().zip(expected))
    {
        let error = largest_error(found, expected);
        println!("{what}, {space}: {error:.1e}");
        assert!(error <= 1e-4, "{what}, {space}: {error:e}");
    }
}

/// Both networks, the second in the place of the first while the server is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_trained_is_what_a_server_answers() {
    let run = tempfile::tempdir().unwrap();
    let recipe = recipe(&[]);
    finish(run.path(), &recipe);
    let photographs = golden::files("images", &["png"]);
    let photographs: Vec<_> = photographs
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("mine");
    export(run.path(), &place, &last(Weights::Online)).unwrap();
    let service = Service::start(store.path(), &["--watch", "0.02"]).await;
    let mut before = None;
    for weights in [Weights::Online, Weights::Target] {
        if weights == Weights::Target {
            export(run.path(), &place, &last(weights)).unwrap();
        }
        let expected = ModelDirectory::open(&place).unwrap().digest().to_owned();
        assert_ne!(before, Some(expected.clone()));
        let mut network = trained(run.path(), &recipe, weights);
        while served(&service, &photographs[0]).await.0 != expected {
            tokio::task::yield_now().await; // every one of these requests is answered
        }
        for photograph in &photographs {
            let (digest, found) = served(&service, photograph).await;
            assert_eq!(digest, expected);
            let own = own(&mut network, photograph, recipe.image_size);
            assert_same(&format!("{weights:?}"), &found, &own);
        }
        before = Some(expected);
    }
    let model = detcon_tests::service::client()
        .get(service.url("/v1/models/mine"))
        .send()
        .await
        .unwrap();
    let model: Value = model.json().await.unwrap();
    assert_eq!(model["training"]["network"], "target");
    assert_eq!(model["training"]["images_seen"], 32);
    assert_eq!(model["license"], "CC0-1.0");
    assert_eq!(model["pretrained"], true);
    service.stop().await;
}

/// For torchvision and Detectron2: the graph, the reference and what was trained pad alike.
#[test]
fn a_network_that_was_trained_with_symmetric_padding_is_exported_as_that() {
    let (run, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recipe = recipe(&[
        "arch=resnet18+identity",
        "padding=symmetric",
        "duration.steps=3",
        "warmup.steps=1",
    ]);
    finish(run.path(), &recipe);
    let place = store.path().join("mine");
    export(run.path(), &place, &last(Weights::Online)).unwrap();
    let model = ModelDirectory::open(&place).unwrap();
    assert_eq!(
        model.manifest().spec.to_string(),
        "resnet18+symmetric+identity"
    );
    let verified = verify(&place, &service::library()).unwrap();
    assert!(verified.passed(), "{verified}");
    let check = model.self_check().unwrap();
    let [count, height, width, channels] = check.shape.map(|it| i64::try_from(it).unwrap());
    let pixels = Tensor::from_slice(&check.images).reshape([count, height, width, channels]);
    let images = pixels.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
    let mut network = trained(run.path(), &recipe, Weights::Online);
    let features = no_grad(|| network.features(&images, Mode::Evaluate));
    let embedding = features.mean_dim([2, 3].as_slice(), false, Kind::Float);
    let embedding: Vec<f32> = Vec::try_from(embedding.reshape([-1])).unwrap();
    let error = largest_error(&embedding, &check.embedding);
    assert!(error <= 1e-5, "{error:e}");
    let target = detcon_converter::export::Target::Torchvision(Kernels::AsTheyAre);
    let file = store.path().join("torchvision.safetensors");
    detcon_converter::export::export(&place, target, &file, Existing::Keep).unwrap();
    assert!(file.exists());
}

#[test]
fn an_export_accounts_for_every_tensor_of_its_checkpoint() {
    let (run, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recipe = recipe(&[]);
    finish(run.path(), &recipe);
    let state = read(&latest(run.path()).unwrap().unwrap()).unwrap();
    for weights in [Weights::Online, Weights::Target] {
        let place = store.path().join("mine");
        let Exported {
            training, heads, ..
        } = export(run.path(), &place, &last(weights)).unwrap();
        assert_eq!(
            (training.steps, training.seed, training.image_size),
            (8, 0, 96)
        );
        let verified = verify(&place, &service::library()).unwrap();
        assert!(verified.passed(), "{verified}");
        assert_eq!(verified.ledger, Some(state.tensors.len()));
        let network = trained(run.path(), &recipe, weights);
        let bytes = fs::read(place.join(file::HEADS)).unwrap();
        let written = tensors_from_bytes(&bytes).unwrap();
        assert_eq!(written.len(), heads);
        assert_eq!(written, network.head_tensors());
    }
}

#[test]
fn a_checkpoint_of_any_step_is_found_and_one_that_is_not_there_says_which_are() {
    let (run, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    finish(run.path(), &recipe(&[]));
    let try_at = |at| {
        export(
            run.path(),
            &store
                .path()
                .join(format!("{at:?}").to_lowercase().replace(['(', ')'], "")),
            &options(at, Weights::Online, Existing::Keep),
        )
    };
    assert_eq!(try_at(At::Step(6)).unwrap().training.steps, 6);
    // Which that is the losses say; the last two are kept beside it.
    let step = |place: &Path| {
        let name = place.file_name().unwrap().to_str().unwrap();
        name.parse::<u64>().unwrap()
    };
    let kept: Vec<u64> = list(run.path())
        .unwrap()
        .iter()
        .map(|it| step(it))
        .collect();
    let best = step(&best(run.path()).unwrap().unwrap());
    assert!(kept.ends_with(&[6, 8]) && kept.contains(&best), "{kept:?}");
    assert_eq!(try_at(At::Best).unwrap().training.steps, best);
    let error = try_at(At::Step(5)).unwrap_err().to_string();
    let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
    let expected = format!(
        "no checkpoint of step 5: give --step {} or last",
        kept.join(", ")
    );
    assert!(error.ends_with(&expected), "{error}");
    let error = try_at(At::Step(6)).unwrap_err().to_string();
    assert!(
        error.contains("exists: give another place, or --force"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_exported_is_one_line_with_the_next_step_and_leaves_nothing() {
    let (run, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = store.path().join("mine");
    let said = |options: &ExportOptions| {
        let error = export(run.path(), &place, options).unwrap_err().to_string();
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0, "{error}");
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let online = last(Weights::Online);
    assert!(said(&online).contains("give what pretrain had as --run"));
    let recipe = recipe(&["method=detcon-s"]);
    fs::write(run.path().join("recipe.toml"), recipe.to_toml().unwrap()).unwrap();
    assert!(said(&online).contains("has no checkpoint yet"));
    fs::remove_file(run.path().join("recipe.toml")).unwrap();
    finish(run.path(), &recipe);
    assert!(said(&last(Weights::Target)).contains("give --weights online"));
    let damaged = latest(run.path())
        .unwrap()
        .unwrap()
        .join("state.safetensors");
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let error = said(&online);
    assert!(
        error.contains("is not what was written: give another, --step "),
        "{error}"
    );
}
