//! The golden photographs over HTTP against the published code's embeddings of them.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_tests::golden::{self, Tensors, l2_error};
use detcon_tests::models;
use detcon_tests::service::{self, Service};
use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::multipart::{Form, Part};

use crate::answers::{REPRESENTATIONS, vectors};

/// A photograph and what its embedding is compared with: tensor of the golden file, largest relative L2 error.
///
/// uint8 rounding alone costs a PNG 0.0004. TensorFlow decodes JPEG with a fast DCT, from which libjpeg-turbo's
/// accurate one is up to 0.012 away.
struct Photograph {
    name: String,
    bytes: Vec<u8>,
    media_type: &'static str,
    expected: Vec<(String, f64)>,
}

fn photographs() -> Vec<Photograph> {
    golden::files("images", &["jpg", "png"])
        .iter()
        .map(|path| photograph(path))
        .collect()
}

fn photograph(path: &Path) -> Photograph {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let (media_type, expected) = if path.extension().is_some_and(|ending| ending == "png") {
        ("image/png", vec![(format!("{name}.embedding"), 0.001)])
    } else {
        let accurate = (format!("{name}.accurate_dct.embedding"), 0.004);
        (
            "image/jpeg",
            vec![accurate, (format!("{name}.embedding"), 0.02)],
        )
    };
    Photograph {
        bytes: fs::read(path).unwrap(),
        name,
        media_type,
        expected,
    }
}

struct Setup {
    service: Service,
    golden: Tensors,
    client: Client,
    _store: tempfile::TempDir,
}

async fn setup() -> Setup {
    let golden = Tensors::open(&golden::directory().join("encoder/photos.safetensors"));
    let model = models::imported(
        golden.metadata("arch"),
        golden.metadata("seed").parse().unwrap(),
    );
    let store = service::store(&[&model]);
    let service = Service::start(store.path(), &[]).await;
    Setup {
        service,
        golden,
        client: detcon_tests::service::client(),
        _store: store,
    }
}

impl Setup {
    fn check(&self, photograph: &Photograph, vector: &[f32], how: &str) {
        for (tensor, tolerance) in &photograph.expected {
            let expected = self
                .golden
                .f32(tensor)
                .unwrap_or_else(|| panic!("no {tensor}"));
            let error = l2_error(vector, &expected.values);
            println!("{tensor} {how}: {error:.5}");
            assert!(error <= *tolerance, "{tensor} {how}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_embeddings_come_back_from_raw_bodies() {
    let setup = setup().await;
    for photograph in photographs() {
        for accept in REPRESENTATIONS {
            let request = setup.client.post(setup.service.url("/v1/embeddings"));
            let request = request
                .header(CONTENT_TYPE, photograph.media_type)
                .header(ACCEPT, accept);
            let found = vectors(request.body(photograph.bytes.clone()).send().await.unwrap()).await;
            assert_eq!(found.len(), 1);
            setup.check(&photograph, &found[0], &format!("raw, {accept}"));
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_embeddings_come_back_from_multipart_bodies() {
    let setup = setup().await;
    let photographs = photographs();
    for accept in REPRESENTATIONS {
        let part = |photograph: &Photograph| {
            let part = Part::bytes(photograph.bytes.clone()).file_name(photograph.name.clone());
            part.mime_str(photograph.media_type).unwrap()
        };
        let form = photographs.iter().fold(Form::new(), |form, photograph| {
            form.part("image", part(photograph))
        });
        let request = setup
            .client
            .post(setup.service.url("/v1/embeddings"))
            .header(ACCEPT, accept);
        let found = vectors(request.multipart(form).send().await.unwrap()).await;
        assert_eq!(found.len(), photographs.len());
        for (photograph, vector) in photographs.iter().zip(&found) {
            setup.check(photograph, vector, &format!("multipart, {accept}"));
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_embeddings_come_back_from_openai_shaped_json() {
    let setup = setup().await;
    let photographs = photographs();
    let input: Vec<_> = photographs
        .iter()
        .map(|it| {
            format!(
                "data:{};base64,{}",
                it.media_type,
                STANDARD.encode(&it.bytes)
            )
        })
        .collect();
    for (accept, encoding) in REPRESENTATIONS
        .iter()
        .flat_map(|accept| [(accept, "float"), (accept, "base64")])
    {
        let body =
            serde_json::json!({"input": input, "encoding_format": encoding, "user": "a test"});
        let request = setup
            .client
            .post(setup.service.url("/v1/embeddings"))
            .header(ACCEPT, *accept);
        let found = vectors(request.json(&body).send().await.unwrap()).await;
        assert_eq!(found.len(), photographs.len());
        for (photograph, vector) in photographs.iter().zip(&found) {
            setup.check(photograph, vector, &format!("JSON, {encoding}, {accept}"));
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn normalized_embeddings_are_the_same_with_length_one() {
    let setup = setup().await;
    let photograph = &photographs()[0];
    let mut found = Vec::new();
    for query in ["", "?normalize=false", "?normalize=true"] {
        let request = setup
            .client
            .post(setup.service.url(&format!("/v1/embeddings{query}")));
        let request = request
            .header(CONTENT_TYPE, photograph.media_type)
            .body(photograph.bytes.clone());
        found.push(vectors(request.send().await.unwrap()).await.remove(0));
    }
    let length = found[0]
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt();
    assert_eq!(found[0], found[1]);
    let scaled: Vec<f32> = found[0].iter().map(|value| value / length).collect();
    assert!(l2_error(&found[2], &scaled) < 1e-6);
    setup.service.stop().await;
}
