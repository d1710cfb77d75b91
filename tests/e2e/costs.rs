//! Requests that cost more than they look: refused with the numbers, while others are answered; and large answers, the
//! same in every form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use futures_util::future::join_all;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use safetensors::SafeTensors;
use serde_json::Value;

/// A black image of this many columns and rows, as a BMP.
fn black(width: u32, height: u32) -> Vec<u8> {
    let row = (width as usize * 3).next_multiple_of(4);
    let mut bmp = b"BM".to_vec();
    bmp.extend([0; 8]); // length and reserved: nobody reads them
    bmp.extend(54_u32.to_le_bytes()); // where the pixels begin
    bmp.extend(40_u32.to_le_bytes()); // length of this header
    bmp.extend([width, height].into_iter().flat_map(u32::to_le_bytes));
    bmp.extend([1, 0, 24, 0]); // planes, bits of a pixel
    bmp.extend([0; 24]);
    bmp.resize(54 + row * height as usize, 0);
    bmp
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_become_too_large_are_refused_while_another_models_client_is_answered() {
    let served = [models::imported("tiny", 0), models::imported("tiny", 1)];
    let store = service::store(&served.each_ref());
    let service = Service::start(store.path(), &[]).await;
    let client = service::client();
    let names = served.each_ref().map(|it| it.manifest().name.to_string());
    let post = |path: String, body| {
        let request = client.post(service.url(&path));
        request.header(CONTENT_TYPE, "image/bmp").body(body).send()
    };
    let hostile = (0..50).map(|number| {
        let (route, sides) = [
            ("features?stage=c2&view=full", (16, 1)),
            ("features?view=full", (1, 40)),
            ("regions?method=kmeans&view=full", (64, 5)),
            ("segmentations?method=kmeans&stage=c3", (900, 9)),
        ][number % 4];
        let path = format!("/v1/{route}&size=1024&model={}", names[0]);
        post(path, black(sides.0, sides.1))
    });
    let friendly = async {
        for _ in 0..20 {
            let answer = post(format!("/v1/embeddings?model={}", names[1]), black(40, 30));
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    };
    let (refused, ()) = tokio::join!(join_all(hostile), friendly);
    for answer in refused {
        let problem: Value = answer.unwrap().json().await.unwrap();
        assert_eq!(problem["status"], 413, "{problem}");
        assert_eq!(problem["type"], "urn:detcon:problem:input-too-large");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_map_is_the_same_in_every_form() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), &[]).await;
    let client = service::client();
    let photograph = std::fs::read(&golden::files("images", &["jpg"])[0]).unwrap();
    let ask = async |accept: &str| {
        let request = client.post(service.url("/v1/features?stage=c2&view=full&size=512"));
        let request = request
            .header(CONTENT_TYPE, "image/jpeg")
            .header(ACCEPT, accept);
        let answer = request.body(photograph.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], accept);
        let length = answer.content_length().unwrap();
        let body = answer.bytes().await.unwrap();
        assert_eq!(body.len() as u64, length);
        body
    };
    let file = ask("application/safetensors").await;
    let file = SafeTensors::deserialize(&file).unwrap();
    let features = file.tensor("features").unwrap();
    assert!(features.data().len() > 64 << 10, "it is large");
    let npy = ask("application/x-npy").await;
    let header = String::from_utf8_lossy(&npy[10..128]).into_owned();
    let axes: Vec<_> = features.shape().iter().map(usize::to_string).collect();
    assert!(header.contains(&axes.join(", ")), "{header}");
    assert!(npy[npy.len() - features.data().len()..] == *features.data());
    let json: Value = serde_json::from_slice(&ask("application/json").await).unwrap();
    assert_eq!(json["shape"], serde_json::json!(features.shape()));
    let data = STANDARD.decode(json["data"].as_str().unwrap()).unwrap();
    assert!(data == features.data());
    service.stop().await;
}
