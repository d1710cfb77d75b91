//! Keys, and images by address, with the flags that turn them on.

use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::answers::vectors;

const KEY: &str = "inference-key-1234567890";

/// Gives every client that asks this file.
async fn file_server(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    origin
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_by_address_has_the_embedding_of_the_image_itself() {
    let image = std::fs::read(&golden::files("images", &["png"])[0]).unwrap();
    let origin = file_server(image.clone()).await;
    let store = service::store(&[&models::imported("tiny", 0)]);
    let flags = ["--allow-url", &origin, "--allow-private-addresses"];
    let service = Service::start(store.path(), &flags).await;
    let (client, url) = (
        detcon_tests::service::client(),
        service.url("/v1/embeddings"),
    );
    let by_address = json!({"input": [format!("{origin}/a.png"), format!("{origin}/b.png")]});
    let fetched = client
        .post(&url)
        .header(CONTENT_TYPE, "application/json")
        .body(by_address.to_string());
    let fetched = vectors(fetched.send().await.unwrap()).await;
    let sent = client
        .post(&url)
        .header(CONTENT_TYPE, "image/png")
        .body(image);
    let sent = vectors(sent.send().await.unwrap()).await;
    assert_eq!(fetched, [&sent[..], &sent[..]].concat());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_keys_answers_those_who_have_one() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), format!("inference:{KEY}\n")).unwrap();
    let flags = ["--api-keys", keys.path().to_str().unwrap()];
    let service = Service::start(store.path(), &flags).await;
    let client = detcon_tests::service::client();
    let models = || client.get(service.url("/v1/models"));
    assert_eq!(models().send().await.unwrap().status(), 401);
    let asked = models().bearer_auth(KEY).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    // Longer than what a connection holds: the refusal arrives although the body was not read.
    let large = client
        .post(service.url("/v1/embeddings"))
        .body(vec![0; 16 << 20]);
    assert_eq!(large.send().await.unwrap().status(), 401);
    service.stop().await;
}
