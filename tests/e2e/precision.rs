//! What embeddings are computed in: chosen by a flag, checked before it is served, named in answers; and the same
//! whoever else is in the batch.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use detcon_core::checkpoint::Tensor;
use detcon_core::image::{ImageLimits, decode};
use detcon_core::model::{ModelDirectory, Precision};
use detcon_inference::{Batch, Compute, Device, Output};
use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use reqwest::Response;
use serde_json::Value;

use crate::answers::vectors;

/// A copy of a golden model with an int8 graph, in a store of its own.
fn quantized(arch: &str) -> (tempfile::TempDir, ModelDirectory) {
    let store = service::store(&[]);
    let place = models::link_into(store.path(), &models::imported(arch, 0));
    let model = models::quantized(&place, false);
    (store, model)
}

async fn ask(service: &Service, path: &str) -> Response {
    let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    let request = detcon_tests::service::client()
        .post(service.url(path))
        .body(image);
    let request = request.header("content-type", "image/png");
    request.send().await.unwrap()
}

fn precision(response: &Response) -> String {
    response.headers()["x-detcon-precision"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// Embedding and features of the photograph, with what each was computed in.
async fn served(store: &Path, flags: &[&str]) -> ([String; 2], Vec<f32>, Vec<u8>) {
    let service = Service::start(store, flags).await;
    let (embedding, features) = (
        ask(&service, "/v1/embeddings").await,
        ask(&service, "/v1/features").await,
    );
    let named = [precision(&embedding), precision(&features)];
    let embedding = vectors(embedding).await.remove(0);
    let features = features.bytes().await.unwrap().to_vec();
    service.stop().await;
    (named, embedding, features)
}

#[tokio::test(flavor = "multi_thread")]
async fn int8_is_served_where_it_is_asked_for_and_answers_say_so() {
    let (store, _model) = quantized("tiny");
    let (exact_named, exact, exact_features) = served(store.path(), &["--precision", "fp32"]).await;
    assert_eq!(exact_named, ["fp32", "fp32"]);
    let (named, near, features) = served(store.path(), &["--precision", "int8"]).await;
    assert_eq!(named, ["int8", "fp32"], "features are float32's always");
    let error = golden::l2_error(&near, &exact);
    assert!(
        (1e-4..0.2).contains(&error),
        "{error}: another graph, and near"
    );
    // c5 comes from another graph of the same weights: its values, less their rounding.
    assert_eq!(features.len(), exact_features.len());
    let values = |npy: &[u8]| {
        let (chunks, _) = npy[128..].as_chunks();
        chunks.iter().map(|it| f32::from_le_bytes(*it)).collect()
    };
    let (a, b): (Vec<f32>, Vec<f32>) = (values(&features), values(&exact_features));
    assert!(golden::largest_error(&a, &b) <= 1e-5);
    let (automatic, ..) = served(store.path(), &[]).await;
    assert!(
        ["int8", "fp32"].contains(&automatic[0].as_str()),
        "as the processor can"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_models_says_what_a_precision_costs_and_a_model_without_it_is_refused() {
    let (store, model) = quantized("tiny");
    let other = models::link_into(store.path(), &models::imported("resnet18", 0));
    let service = Service::start(store.path(), &["--precision", "int8"]).await;
    let list = detcon_tests::service::client()
        .get(service.url("/v1/models"))
        .send()
        .await;
    let list: Value = list.unwrap().json().await.unwrap();
    let quality = &model.manifest().quality[&Precision::Int8];
    let told = &list["data"][0];
    assert_eq!(told["precision"], "int8");
    let cosine = told["quality"]["int8"]["centred_cosine"]["mean"].as_f64();
    assert_eq!(cosine, Some(quality.centred_cosine.mean));
    let refused = &list["refused"][0];
    assert_eq!(refused["id"], other.file_name().unwrap().to_str().unwrap());
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("no int8 graph"), "{reason}");
    service.stop().await;
}

/// The photographs as the network's input, one after the other.
fn inputs(model: &ModelDirectory, count: usize) -> Vec<Vec<u8>> {
    let preprocess = model.manifest().preprocess;
    let paths = golden::files("images", &["jpg", "png"]);
    let images = paths.iter().cycle().take(count).enumerate();
    let input = |(index, path): (usize, &std::path::PathBuf)| {
        let image = decode(&fs::read(path).unwrap(), &ImageLimits::default()).unwrap();
        let mut pixels = preprocess.apply(&image).into_pixels();
        pixels.rotate_left(3 * index); // where there are fewer photographs than that, they differ all the same
        pixels
    };
    images.map(input).collect()
}

/// What an image's neighbours in a batch could change is the order of sums alone.
#[test]
fn an_image_has_the_same_embedding_alone_and_in_any_batch() {
    let mut worst = 0.0_f32;
    for arch in ["tiny", "resnet18", "resnet50"] {
        let model = models::imported(arch, 0);
        let compute = Compute {
            device: Device::Cpu,
            threads: NonZeroUsize::new(2).unwrap(),
            spinning: Duration::ZERO,
        };
        let mut engine = service::engine(&model, compute);
        let (side, inputs) = (
            model.manifest().preprocess.size() as usize,
            inputs(&model, 8),
        );
        let mut embed = |images: &[Vec<u8>]| {
            let batch = Batch {
                shape: [images.len(), side, side, 3],
                images: images.concat(),
            };
            let found = engine.run(&batch, Output::Embedding).unwrap();
            found
                .into_iter()
                .map(Tensor::into_values)
                .collect::<Vec<_>>()
        };
        let alone: Vec<_> = inputs
            .iter()
            .map(|image| embed(std::slice::from_ref(image)).remove(0))
            .collect();
        assert_ne!(alone[0], alone[1], "images that are mixed up would be seen");
        for size in [2, 3, 5, 8] {
            for (images, expected) in inputs.chunks(size).zip(alone.chunks(size)) {
                for (found, expected) in embed(images).iter().zip(expected) {
                    let error = golden::largest_error(found, expected);
                    worst = worst.max(error);
                    assert!(error <= 1e-5, "{arch} in a batch of {size}: {error:e}");
                }
            }
        }
    }
    println!("alone and in batches of 2, 3, 5 and 8: {worst:.1e} apart at worst");
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_no_open_graph_gives_are_refused_before_any_work() {
    let (store, _model) = quantized("tiny");
    for (precision, c5) in [("fp32", 200), ("int8", 422)] {
        let flags = ["--no-dense-features", "--precision", precision];
        let service = Service::start(store.path(), &flags).await;
        for (path, status) in [
            ("/v1/embeddings", 200),
            ("/v1/features?stage=c5", c5),
            ("/v1/features?stage=c2", 422),
            ("/v1/regions", c5),
            ("/v1/segmentations?method=kmeans&stage=c4", 422),
            ("/v1/segmentations?method=felzenszwalb", 200),
        ] {
            let answer = ask(&service, path).await;
            assert_eq!(answer.status(), status, "{precision} {path}");
            if status == 422 {
                let problem: Value =
                    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                assert_eq!(problem["type"], "urn:detcon:problem:model-lacks");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains("--no-dense-features"), "{detail}");
            }
        }
        let metadata = service::client()
            .get(service.url("/v2/models/tiny.0"))
            .send()
            .await
            .unwrap();
        let metadata: Value = serde_json::from_slice(&metadata.bytes().await.unwrap()).unwrap();
        let outputs = metadata["outputs"].as_array().unwrap().iter();
        let names: Vec<_> = outputs.map(|it| it["name"].as_str().unwrap()).collect();
        let expected: &[_] = if c5 == 200 {
            &["embedding", "c5"]
        } else {
            &["embedding"]
        };
        assert_eq!(names, expected);
        service.stop().await;
    }
}
