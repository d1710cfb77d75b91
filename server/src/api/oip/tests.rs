//! The protocol over the router, with an engine that does as told; what a real one gives, Triton's client checks.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::testing::{Answer, answer, answers, ask, ready, serving};

/// A request for the output of a grey image.
fn infer(outputs: &Value) -> Request<Body> {
    let input = json!({"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": vec![7; 32 * 32 * 3]});
    let body = json!({"id": "a", "inputs": [input], "outputs": outputs});
    let request = Request::post("/v2/models/tiny/infer");
    request.body(Body::from(body.to_string())).unwrap()
}

/// The text of what must be an error of the protocol.
fn error(answer: &Answer, status: u16) -> &str {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1));
    answer.body["error"].as_str().unwrap()
}

#[tokio::test]
async fn a_request_has_the_outputs_that_it_asks_for() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let found = answer(&router, infer(&json!([{"name": "embedding"}]))).await;
    assert_eq!(found.status, 200, "{found:?}");
    assert_eq!(found.body["id"], "a");
    let output =
        json!({"name": "embedding", "datatype": "FP32", "shape": [1, 8], "data": vec![0.5; 8]});
    assert_eq!(found.body["outputs"], json!([output]));
}

#[tokio::test]
async fn statistics_count_every_request_of_a_model_once() {
    let router = serving([("tiny", ready(answers(), 4))]);
    for outputs in [json!([{"name": "embedding"}]), json!([{"name": "nothing"}])] {
        answer(&router, infer(&outputs)).await;
    }
    let embeddings = crate::testing::post("/v1/embeddings");
    assert_eq!(answer(&router, embeddings).await.status, 200);
    let found = answer(&router, ask(Method::GET, "/v2/models/tiny/stats")).await;
    let stats = &found.body["model_stats"][0];
    assert_eq!(stats["inference_stats"]["success"]["count"], 2, "{stats}");
    assert_eq!(stats["inference_stats"]["fail"]["count"], 1, "{stats}");
    assert_eq!(stats["inference_count"], 2);
    assert_eq!(stats["batch_stats"][0]["compute_infer"]["count"], 2);
    for phase in ["queue", "compute_input", "compute_infer", "compute_output"] {
        assert_eq!(stats["inference_stats"][phase]["count"], 2, "{phase}");
    }
    let success = stats["inference_stats"]["success"]["ns"].as_u64().unwrap();
    let inference = stats["inference_stats"]["compute_infer"]["ns"].as_u64();
    assert!(inference.unwrap() > 0 && success > inference.unwrap());
}

#[tokio::test]
async fn errors_are_the_protocols_own_wherever_they_come_from() {
    let broken = Box::new(|_: &_| Err(detcon_inference::InferenceError::NotOpen { output: "c2" }));
    let router = serving([("tiny", ready(broken, 4))]);
    let failed = answer(&router, infer(&json!([]))).await;
    assert!(error(&failed, 500).contains("log"));
    for (method, path, status) in [
        (Method::GET, "/v2/models/nope", 404),
        (Method::GET, "/v2/models/nope/ready", 404),
        (Method::GET, "/v2/models/tiny/versions/2", 404),
        (Method::GET, "/v2/nothing", 404),
        (Method::DELETE, "/v2", 405),
        (Method::POST, "/v2/models/tiny/infer", 400),
        (Method::POST, "/v2/repository/models/tiny/load", 403),
    ] {
        let refused = answer(&router, ask(method, path)).await;
        assert!(!error(&refused, status).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_model_is_described_as_it_is() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let model = answer(&router, ask(Method::GET, "/v2/models/tiny")).await;
    let names = |list: &Value| -> Vec<String> {
        let tensors = list.as_array().unwrap().iter();
        tensors
            .map(|tensor| tensor["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&model.body["inputs"]),
        ["image", "pixels", "normalized"]
    );
    assert_eq!(names(&model.body["outputs"])[..2], ["embedding", "c5"]);
    let config = answer(
        &router,
        ask(Method::GET, "/v2/models/tiny/versions/1/config"),
    )
    .await;
    assert_eq!(names(&config.body["output"]), names(&model.body["outputs"]));
    assert_eq!(config.body["max_batch_size"], 4);
    let index = answer(&router, ask(Method::POST, "/v2/repository/index")).await;
    assert_eq!(index.body[0]["state"], "READY");
}
