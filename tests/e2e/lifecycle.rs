//! What surrounds the answers: health, the list of models, the documentation, the end.

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn json(url: String) -> Value {
    detcon_tests::service::client()
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrained_model_is_served_and_said_to_be_untrained() {
    let store = service::store(&[]);
    demo(
        &store.path().join("try"),
        Existing::Keep,
        "resnet18".parse().unwrap(),
        0,
    )
    .unwrap();
    let service = Service::start(store.path(), &[]).await;
    let list = json(service.url("/v1/models")).await;
    let model = &list["data"][0];
    assert_eq!(
        (&model["id"], &model["arch"]),
        (&"try".into(), &"resnet18".into())
    );
    assert_eq!(
        (&model["pretrained"], &model["dim"]),
        (&false.into(), &512.into())
    );
    assert_eq!(model["precisions"], serde_json::json!(["fp32"]));
    let detail = json(service.url("/v1/models/try")).await;
    assert_eq!(detail["digest"], model["digest"]);
    assert_eq!(detail["source"]["layout"], "untrained");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_documentation_and_request_ids_are_there() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), &[]).await;
    let client = detcon_tests::service::client();
    let get = |path: &str| {
        client
            .get(service.url(path))
            .header("x-request-id", "abc-1")
            .send()
    };
    for path in ["/livez", "/readyz", "/openapi.json", "/docs/"] {
        let response = get(path).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-request-id"], "abc-1");
    }
    let page = get("/docs/").await.unwrap().text().await.unwrap();
    assert!(
        !page.contains("https://"),
        "the page needs an outside address: {page}"
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_document_is_the_committed_one_and_lists_every_status_of_an_answer() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), &[]).await;
    let served = json(service.url("/openapi.json")).await;
    let committed = std::fs::read(golden::workspace().join("openapi/openapi.json")).unwrap();
    let committed: Value = serde_json::from_slice(&committed).unwrap();
    assert!(
        served == committed,
        "openapi/openapi.json is stale: run `make openapi`"
    );
    let embeddings = &served["paths"]["/v1/embeddings"]["post"];
    let statuses: Vec<_> = embeddings["responses"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        statuses,
        [
            "200", "400", "401", "403", "404", "406", "408", "413", "415", "422", "500", "503",
            "504"
        ]
    );
    service.stop().await;
}

/// `100 Continue` tells that the server is at the request; only then is it asked to stop, and only then does it get
/// the image.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_when_the_server_stops() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), &[]).await;
    let image = std::fs::read(&golden::files("images", &["png"])[0]).unwrap();
    let mut connection = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        image.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 12];
    connection.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100");
    let stopped = tokio::spawn(service.stop());
    connection.write_all(&image).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.contains("HTTP/1.1 200 OK") && answer.contains("\"embedding\""),
        "{answer}"
    );
    stopped.await.unwrap();
}
