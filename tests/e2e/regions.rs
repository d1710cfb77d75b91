//! Features, regions and segmentations over HTTP, against the published code and scikit-image where they say.

use std::fs;

use detcon_core::segment::SegmentMap;
use detcon_tests::golden::{self, Tensors, l2_error};
use detcon_tests::models;
use detcon_tests::service::{self, Service};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::Value;

struct Setup {
    service: Service,
    client: Client,
    _store: tempfile::TempDir,
}

async fn setup(arch: &str, seed: u64) -> Setup {
    let store = service::store(&[&models::imported(arch, seed)]);
    let service = Service::start(store.path(), &[]).await;
    Setup {
        service,
        client: detcon_tests::service::client(),
        _store: store,
    }
}

impl Setup {
    async fn post(&self, path: &str, image: &[u8], accept: &str) -> reqwest::Response {
        let request = self
            .client
            .post(self.service.url(path))
            .header("accept", accept);
        request
            .header("content-type", "image/png")
            .body(image.to_vec())
            .send()
            .await
            .unwrap()
    }

    async fn regions(&self, form: Form) -> Value {
        let response = self
            .client
            .post(self.service.url("/v1/regions"))
            .multipart(form)
            .send()
            .await
            .unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn floats(vector: &Value) -> Vec<f32> {
    serde_json::from_value(vector.clone()).unwrap()
}

/// uint8 rounding alone costs 0.0025.
#[tokio::test(flavor = "multi_thread")]
async fn region_vectors_of_the_photographs_are_the_published_codes() {
    let golden = Tensors::open(&golden::directory().join("encoder/photos.safetensors"));
    let setup = setup(
        golden.metadata("arch"),
        golden.metadata("seed").parse().unwrap(),
    )
    .await;
    for path in golden::files("images", &["png"]) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mask = golden::directory().join(golden.metadata("mask_file").replace("NAME", name));
        for (space, tensor) in [
            ("backbone", "region_embeddings"),
            ("projection", "region_projections"),
        ] {
            let form = Form::new()
                .part("image", Part::bytes(fs::read(&path).unwrap()))
                .part("mask", Part::bytes(fs::read(&mask).unwrap()))
                .text("space", space)
                .text("view", "center");
            let found = setup.regions(form).await;
            let regions = found["regions"].as_array().unwrap();
            let column = |key: &str| -> Vec<i32> {
                regions
                    .iter()
                    .map(|it| i32::try_from(it[key].as_i64().unwrap()).unwrap())
                    .collect()
            };
            let expected = |key: &str| golden.i32(&format!("{name}.png.{key}")).unwrap().values;
            assert_eq!(column("id"), expected("region_ids"), "{name}");
            assert_eq!(column("cells"), expected("region_cells"), "{name}");
            let vectors: Vec<f32> = regions
                .iter()
                .flat_map(|it| floats(&it["embedding"]))
                .collect();
            let reference = golden.f32(&format!("{name}.png.{tensor}")).unwrap();
            let error = l2_error(&vectors, &reference.values);
            println!("{name} {tensor}: {error:.5}");
            assert!(error <= 0.005, "{name} {tensor}: {error}");
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn felzenszwalb_labels_over_http_are_scikit_images() {
    let setup = setup("tiny", 0).await;
    let index: Value = serde_json::from_slice(
        &fs::read(golden::directory().join("felzenszwalb/index.json")).unwrap(),
    )
    .unwrap();
    assert!(index.is_array() || index.is_object());
    for path in golden::files("felzenszwalb", &["png"]) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some((image, settings)) = name.split_once(".scale") else {
            continue;
        };
        let (scale, rest) = settings.split_once(".sigma").unwrap();
        let (sigma, min_size) = rest.split_once(".min").unwrap();
        let image = fs::read(golden::directory().join(format!("images/{image}.png"))).unwrap();
        let query = format!(
            "/v1/segmentations?method=felzenszwalb&scale={scale}&sigma={sigma}&min_size={min_size}"
        );
        let response = setup.post(&query, &image, "image/png").await;
        assert_eq!(response.status(), 200);
        let limits = detcon_core::image::ImageLimits::default();
        let found = SegmentMap::from_png(&response.bytes().await.unwrap(), &limits).unwrap();
        let expected = SegmentMap::from_png(&fs::read(&path).unwrap(), &limits).unwrap();
        assert!(found == expected, "{name} differs");
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_form_of_a_segmentation_covers_the_image() {
    let setup = setup("tiny", 0).await;
    let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    for query in [
        "method=felzenszwalb",
        "method=grid&rows=3&columns=5",
        "method=kmeans&k=4&stage=c3&seed=1",
    ] {
        let path = format!("/v1/segmentations?{query}");
        let json: Value = setup
            .post(&path, &image, "application/json")
            .await
            .json()
            .await
            .unwrap();
        let pixels = json["size"][0].as_u64().unwrap() * json["size"][1].as_u64().unwrap();
        let segments = json["segments"].as_array().unwrap();
        assert_eq!(
            segments
                .iter()
                .map(|it| it["area"].as_u64().unwrap())
                .sum::<u64>(),
            pixels,
            "{query}"
        );
        let labels = setup
            .post(&path, &image, "application/x-npy")
            .await
            .bytes()
            .await
            .unwrap();
        assert_eq!(labels.len() as u64 % 64, (2 * pixels) % 64, "{query}");
        let overlay = setup
            .post(&format!("{path}&output=overlay"), &image, "image/png")
            .await;
        assert_eq!(overlay.headers()["content-type"], "image/png");
        assert!(overlay.bytes().await.unwrap().starts_with(b"\x89PNG"));
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_have_the_stages_strides_whatever_the_view() {
    let setup = setup("tiny", 0).await;
    let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    for (stage, stride) in [("c2", 4), ("c3", 8), ("c4", 16), ("c5", 32)] {
        let path = format!("/v1/features?stage={stage}&view=center&size=96");
        let json: Value = setup
            .post(&path, &image, "application/json")
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(
            json["shape"],
            serde_json::json!([8, 96 / stride, 96 / stride])
        );
        let path = format!("/v1/features?stage={stage}&view=full&size=64");
        let json: Value = setup
            .post(&path, &image, "application/json")
            .await
            .json()
            .await
            .unwrap();
        let sides = [
            json["shape"][1].as_u64().unwrap(),
            json["shape"][2].as_u64().unwrap(),
        ];
        assert_eq!(sides.into_iter().min(), Some(64 / stride), "{json}");
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_boxes_are_regions_and_what_cannot_be_used_is_refused_by_name() {
    let setup = setup("tiny", 0).await;
    let image = || Part::bytes(fs::read(&golden::files("images", &["png"])[0]).unwrap());
    let form = Form::new()
        .part("image", image())
        .text("boxes", "[[0,0,200,200],[5,5,1,1]]")
        .text("view", "full");
    let found = setup.regions(form).await;
    assert_eq!(
        found["regions"][0]["box"],
        serde_json::json!([0, 0, 200, 200])
    );
    assert_eq!(found["regions"][0]["area"], 40_000);
    assert_eq!(found["dropped"], serde_json::json!([1]));
    for (field, value, status, slug) in [
        ("boxes", "[[0,0,-1,5]]", 422, "mask"),
        ("boxes", "[[0,0]]", 400, "invalid-field"),
        ("rle", r#"{"size":[2,2],"counts":[4]}"#, 422, "mask"),
        ("scale", "0", 400, "invalid-field"),
        ("scale", "-1", 400, "invalid-field"),
        ("method", "watershed", 400, "invalid-field"),
        ("k", "3", 400, "invalid-field"),
        ("size", "5", 400, "invalid-field"),
        ("space", "nowhere", 400, "invalid-field"),
        ("colour", "red", 400, "unknown-field"),
    ] {
        let form = Form::new().part("image", image()).text(field, value);
        let response = setup
            .client
            .post(setup.service.url("/v1/regions"))
            .multipart(form)
            .send()
            .await
            .unwrap();
        let (found, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(found, status, "{field}={value}: {text}");
        assert!(
            text.contains(&format!("urn:detcon:problem:{slug}\"")),
            "{field}={value}: {text}"
        );
    }
    let path = "/v1/segmentations?method=kmeans&k=200";
    let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    assert_eq!(setup.post(path, &image, "*/*").await.status(), 422);
    setup.service.stop().await;
}
