//! Bad input: a 4xx with a type of its own and a sentence that says what to do; the server goes on.

use std::fs;

use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use reqwest::{Body, Client, Method, RequestBuilder};
use serde_json::{Value, json};

const EMBEDDINGS: &str = "/v1/embeddings";

struct Setup {
    service: Service,
    client: Client,
    store: tempfile::TempDir,
}

async fn setup(flags: &[&str]) -> Setup {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), flags).await;
    Setup {
        service,
        client: detcon_tests::service::client(),
        store,
    }
}

impl Setup {
    fn post(&self, content_type: &str, body: impl Into<Body>) -> RequestBuilder {
        self.client
            .post(self.service.url(EMBEDDINGS))
            .header(CONTENT_TYPE, content_type)
            .body(body)
    }

    /// Sends it, checks status and type, and that the answer is a whole problem.
    async fn refused(&self, request: RequestBuilder, status: u16, slug: &str) -> Value {
        let response = request.send().await.unwrap();
        let found = response.status().as_u16();
        let kind = response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        let text = response.text().await.unwrap();
        assert_eq!(
            (found, kind.as_str()),
            (status, "application/problem+json"),
            "{slug}: {text}"
        );
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            problem["type"],
            format!("urn:detcon:problem:{slug}"),
            "{text}"
        );
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{text}");
        problem
    }

    async fn still_answers(&self) {
        let image = fs::read(&golden::files("images", &["png"])[0]).unwrap();
        let response = self.post("image/png", image).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

fn photograph(ending: &str) -> Vec<u8> {
    fs::read(&golden::files("images", &[ending])[0]).unwrap()
}

/// A PNG's first bytes, with a header that promises `side` × `side` pixels.
fn png_header(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(side.to_be_bytes());
    header.extend(side.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32(&header).to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_image_is_refused_and_named() {
    let setup = setup(&[]).await;
    let (jpeg, png) = (photograph("jpg"), photograph("png"));
    for (body, status, slug) in [
        (Vec::new(), 400, "empty-body"),
        (b"hello, I am a text".to_vec(), 422, "not-an-image"),
        (jpeg[..jpeg.len() / 2].to_vec(), 422, "image-truncated"),
        (png[..png.len() / 2].to_vec(), 422, "image-truncated"),
        (png_header(30_000), 413, "image-too-large"),
        (png_header(u32::MAX), 413, "image-too-large"),
    ] {
        setup
            .refused(setup.post("image/png", body), status, slug)
            .await;
    }
    setup.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_megabytes_is_refused_whether_it_says_its_length_or_not() {
    let setup = setup(&[]).await;
    let body = vec![0_u8; 100_000_000];
    setup
        .refused(setup.post("image/png", body), 413, "body-too-large")
        .await;
    let chunks = std::iter::repeat_n(vec![0_u8; 100_000], 1000).map(Ok::<_, std::io::Error>);
    let stream = Body::wrap_stream(futures_util::stream::iter(chunks));
    setup
        .refused(setup.post("image/png", stream), 413, "body-too-large")
        .await;
    setup.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_served_are_refused() {
    let setup = setup(&[]).await;
    let bare = setup.client.post(setup.service.url(EMBEDDINGS)).body("x");
    setup.refused(bare, 415, "missing-content-type").await;
    setup
        .refused(setup.post("text/plain", "x"), 415, "unsupported-media-type")
        .await;
    let html = setup
        .post("image/png", photograph("png"))
        .header(ACCEPT, "text/html");
    setup.refused(html, 406, "not-acceptable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_do_not_exist_or_have_the_wrong_type_are_named() {
    let setup = setup(&[]).await;
    let ask = |query: &str| {
        let url = setup.service.url(&format!("{EMBEDDINGS}?{query}"));
        setup
            .client
            .post(url)
            .header(CONTENT_TYPE, "image/png")
            .body(photograph("png"))
    };
    setup.refused(ask("model=nope"), 404, "unknown-model").await;
    for outside in [
        "..%2Fetc",
        "..",
        ".",
        "%2Fetc%2Fpasswd",
        "tiny.0%2F..%2Ftiny.0",
        "tiny.0%00",
        "",
    ] {
        let ask = ask(&format!("model={outside}"));
        setup.refused(ask, 404, "unknown-model").await;
    }
    let problem = setup
        .refused(ask("modell=tiny"), 400, "unknown-field")
        .await;
    assert!(problem["detail"].as_str().unwrap().contains("modell"));
    setup
        .refused(ask("normalize=maybe"), 400, "invalid-field")
        .await;
    setup
        .refused(ask("model=tiny&model=tiny"), 400, "invalid-field")
        .await;
    let form = reqwest::multipart::Form::new().text("imagee", "x");
    let multipart = setup
        .client
        .post(setup.service.url(EMBEDDINGS))
        .multipart(form);
    setup.refused(multipart, 400, "unknown-field").await;
    // Of a part with another name nothing is judged but that.
    let file = reqwest::multipart::Part::bytes(vec![0xff, 0xd8, 0xff, 0xe0]);
    let form = reqwest::multipart::Form::new().part("file", file);
    let multipart = setup
        .client
        .post(setup.service.url("/v1/embeddings"))
        .multipart(form);
    setup.refused(multipart, 400, "unknown-field").await;
    let form = reqwest::multipart::Form::new().text("model", "tiny");
    let multipart = setup
        .client
        .post(setup.service.url(EMBEDDINGS))
        .multipart(form);
    setup.refused(multipart, 400, "no-image").await;
    let cut = setup.post(
        "multipart/form-data; boundary=b",
        "--b\r\nContent-Disposition: form-data; na",
    );
    setup.refused(cut, 400, "malformed-multipart").await;
    setup
        .refused(
            setup.post("multipart/form-data", "x"),
            400,
            "malformed-multipart",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_shaped_requests_get_problems_that_openai_clients_read() {
    let setup = setup(&[]).await;
    let image = "data:image/png;base64,AQID";
    for (body, status, slug, param) in [
        (
            json!({"input": image, "model": "nope"}),
            404,
            "unknown-model",
            Some("model"),
        ),
        (
            json!({"input": image, "model": 1}),
            400,
            "invalid-field",
            Some("model"),
        ),
        (
            json!({"input": image, "modell": "tiny"}),
            400,
            "unknown-field",
            Some("modell"),
        ),
        (
            json!({"input": image, "dimensions": 9}),
            400,
            "invalid-field",
            Some("dimensions"),
        ),
        (json!({"input": image}), 422, "not-an-image", Some("input")),
        (
            json!({"input": "a cat"}),
            400,
            "invalid-field",
            Some("input[0]"),
        ),
        (json!({"input": []}), 400, "no-image", Some("input")),
        (
            json!({"input": vec![image; 65]}),
            413,
            "too-many-images",
            Some("input"),
        ),
        (json!([]), 400, "malformed-json", None),
    ] {
        let request = setup.post("application/json", body.to_string());
        let problem = setup.refused(request, status, slug).await;
        assert_eq!(problem["error"]["code"], slug, "{problem}");
        assert_eq!(problem["error"]["param"].as_str(), param, "{problem}");
        assert_eq!(problem["error"]["message"], problem["detail"]);
    }
    setup
        .refused(setup.post("application/json", "{"), 400, "malformed-json")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_do_not_exist_are_problems_too() {
    let setup = setup(&[]).await;
    setup
        .refused(
            setup.client.get(setup.service.url("/v3/nope")),
            404,
            "not-found",
        )
        .await;
    setup
        .refused(
            setup.client.get(setup.service.url("/v1/models/nope")),
            404,
            "unknown-model",
        )
        .await;
    let delete = setup
        .client
        .request(Method::DELETE, setup.service.url(EMBEDDINGS));
    setup
        .refused(delete.try_clone().unwrap(), 405, "method-not-allowed")
        .await;
    assert_eq!(delete.send().await.unwrap().headers()[ALLOW], "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_model_is_refused_by_name_and_the_others_are_served() {
    let store = service::store(&[&models::imported("tiny", 0), &models::imported("tiny", 1)]);
    let damaged = store.path().join("tiny.1");
    let mut graph = fs::read(damaged.join("model.onnx")).unwrap();
    let middle = graph.len() / 2;
    graph[middle] ^= 1;
    fs::remove_file(damaged.join("model.onnx")).unwrap();
    fs::write(damaged.join("model.onnx"), graph).unwrap();
    let service = Service::start(store.path(), &["--default-model", "tiny.0"]).await;
    let setup = Setup {
        service,
        client: detcon_tests::service::client(),
        store,
    };
    let list: Value = setup
        .client
        .get(setup.service.url("/v1/models"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["id"], "tiny.0");
    assert_eq!(list["refused"][0]["id"], "tiny.1");
    assert!(
        list["refused"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("model.onnx is damaged"),
        "{list}"
    );
    let named = setup
        .client
        .post(setup.service.url(&format!("{EMBEDDINGS}?model=tiny.1")));
    let named = named
        .header(CONTENT_TYPE, "image/png")
        .body(photograph("png"));
    setup.refused(named, 503, "model-refused").await;
    let ready = setup
        .client
        .get(setup.service.url("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 200);
    setup.still_answers().await;
    drop(setup.store);
}

/// The digests fit, the weights are not those that the self-check was made for.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_its_self_check_is_refused() {
    let (model, other) = (models::imported("tiny", 0), models::imported("tiny", 1));
    let store = service::store(&[&model]);
    let place = store.path().join("tiny.0");
    let mut manifest = model.manifest().clone();
    let graph = "model.onnx";
    manifest
        .files
        .insert(graph.to_owned(), other.manifest().files[graph].clone());
    for name in [graph, "manifest.json"] {
        fs::remove_file(place.join(name)).unwrap();
    }
    fs::copy(other.path().join(graph), place.join(graph)).unwrap();
    fs::write(
        place.join("manifest.json"),
        serde_json::to_vec(&manifest).unwrap(),
    )
    .unwrap();
    let service = Service::start(store.path(), &[]).await;
    let setup = Setup {
        service,
        client: detcon_tests::service::client(),
        store,
    };
    let ready = setup
        .client
        .get(setup.service.url("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    let list: Value = setup
        .client
        .get(setup.service.url("/v1/models"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        list["refused"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("self-check failed"),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_more_images_than_the_queue_holds_is_refused_whole() {
    let setup = setup(&["--queue", "2", "--max-images", "4"]).await;
    let part = || reqwest::multipart::Part::bytes(photograph("png"));
    let form = (0..3).fold(reqwest::multipart::Form::new(), |form, _| {
        form.part("image", part())
    });
    let request = setup
        .client
        .post(setup.service.url(EMBEDDINGS))
        .multipart(form);
    setup.refused(request, 413, "too-many-images").await;
    setup.still_answers().await;
}

/// Photographs with bytes changed or cut off, under every kind of `Content-Type`.
#[tokio::test(flavor = "multi_thread")]
async fn no_body_makes_the_server_fail() {
    let setup = setup(&[]).await;
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let whole = [photograph("jpg"), photograph("png")];
    let kinds = [
        "image/jpeg",
        "application/octet-stream",
        "application/json",
        "multipart/form-data; boundary=x",
    ];
    for _ in 0..120 {
        let mut body = whole[random(whole.len())].clone();
        for _ in 0..random(20) {
            let place = random(body.len());
            body[place] = u8::try_from(random(256)).unwrap();
        }
        body.truncate(1 + random(2 * body.len()));
        let response = setup
            .post(kinds[random(kinds.len())], body)
            .send()
            .await
            .unwrap();
        assert!(
            response.status().as_u16() < 500,
            "{}",
            response.text().await.unwrap()
        );
    }
    setup.still_answers().await;
}
