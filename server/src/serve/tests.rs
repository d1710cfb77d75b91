//! What clients get where the server is at its limit, late, broken or not ready, with an engine that does as told.

mod cost;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Method, Request, header};
use axum::routing::get;
use detcon_inference::InferenceError;
use serde_json::json;
use tokio::sync::mpsc;

use super::middleware::surround;
use super::routes::{document, router};
use crate::models::State as ModelState;
use crate::protect::Protection;
use crate::testing::{
    Behaviour, answer, answers, application, ask, embeddings, image, post, ready, serving,
};

const EMBEDDINGS: &str = "/v1/embeddings";

/// An engine that says when it has a batch, and answers when it is let on.
fn gated() -> (Behaviour, mpsc::UnboundedReceiver<usize>, Sender<()>) {
    let (seen, batches) = mpsc::unbounded_channel();
    let (go, gate): (_, Receiver<()>) = channel();
    let behaviour: Behaviour = Box::new(move |batch| {
        let _ = seen.send(batch.shape[0]); // the test may have seen enough
        let _ = gate.recv(); // the test may be over
        Ok(embeddings(batch))
    });
    (behaviour, batches, go)
}

fn loading() -> ModelState {
    ModelState::Loading
}

fn refused() -> ModelState {
    ModelState::Refused("model.onnx is damaged".into())
}

/// `make openapi` writes it anew.
#[test]
fn the_committed_openapi_document_is_that_of_the_routes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
    let committed = std::fs::read_to_string(path).expect("openapi/openapi.json is there");
    let current = document().to_pretty_json().expect("the document is JSON") + "\n";
    assert!(
        committed == current,
        "openapi/openapi.json is stale: run `make openapi`"
    );
}

#[test]
fn operations_have_names_of_their_own() {
    let document = serde_json::to_value(document()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let mut names: Vec<_> = operations
        .filter_map(|it| it["operationId"].as_str())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[tokio::test]
async fn an_overloaded_server_answers_503_and_says_when_to_come_back() {
    let (engine, mut batches, go) = gated();
    let router = serving([("tiny", ready(engine, 1))]);
    let first = tokio::spawn({
        let router = router.clone();
        async move { answer(&router, post(EMBEDDINGS)).await }
    });
    assert_eq!(batches.recv().await, Some(1));
    let second = answer(&router, post(EMBEDDINGS)).await;
    assert_eq!(second.problem(), (503, "overloaded"));
    assert_eq!(second.headers[header::RETRY_AFTER], "1");
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    go.send(()).unwrap();
    assert_eq!(answer(&router, post(EMBEDDINGS)).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_504() {
    let (engine, _batches, go) = gated();
    let app = application([("tiny", ready(engine, 4))], Duration::from_millis(20));
    let router = router(app, Protection::default());
    let late = answer(&router, post(EMBEDDINGS)).await;
    assert_eq!(late.problem(), (504, "timeout"));
    drop(go); // lets the engine's thread end, for which the router waits when it goes
}

#[tokio::test]
async fn a_client_says_how_long_it_waits() {
    let (engine, mut batches, go) = gated();
    let router = serving([("tiny", ready(engine, 4))]);
    let first = tokio::spawn({
        let router = router.clone();
        async move { answer(&router, post(EMBEDDINGS)).await }
    });
    assert_eq!(batches.recv().await, Some(1));
    let mut hasty = post(EMBEDDINGS);
    let header = (HeaderName::from_static("x-request-timeout"), "0.02");
    hasty
        .headers_mut()
        .insert(header.0, header.1.parse().unwrap());
    let late = answer(&router, hasty).await;
    assert_eq!(late.problem(), (408, "expired"));
    assert!(late.body.to_string().contains("the 0.02 s"), "{late:?}");
    for path in ["/v1/embeddings", "/v1/features", "/v1/regions"] {
        let late = answer(&router, post(&format!("{path}?timeout_ms=0"))).await;
        assert_eq!(late.problem(), (408, "expired"));
        let unclear = answer(&router, post(&format!("{path}?priority=first"))).await;
        assert_eq!(unclear.problem(), (400, "invalid-field"));
    }
    for _ in 0..2 {
        go.send(()).unwrap();
    }
    assert_eq!(first.await.unwrap().status, 200);
    // Those that were late were not run.
    assert_eq!(answer(&router, post(EMBEDDINGS)).await.status, 200);
    assert_eq!(batches.try_recv(), Ok(1));
    assert!(batches.try_recv().is_err());
}

#[tokio::test]
async fn health_is_told_while_the_engine_is_busy() {
    let (engine, mut batches, go) = gated();
    let router = serving([("tiny", ready(engine, 4))]);
    let asked = tokio::spawn({
        let router = router.clone();
        async move { answer(&router, post(EMBEDDINGS)).await }
    });
    assert_eq!(batches.recv().await, Some(1));
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&router, path).await, 200, "{path}");
    }
    go.send(()).unwrap();
    assert_eq!(asked.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_names_the_model_that_made_it() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let model = answer(&router, ask(Method::GET, "/v1/models")).await.body["data"][0].clone();
    let found = answer(&router, post(EMBEDDINGS)).await;
    assert_eq!(
        found.headers["x-detcon-model-digest"],
        model["digest"].as_str().unwrap()
    );
    assert_eq!(found.headers["x-detcon-precision"], "fp32");
    assert_eq!(found.body["model_digest"], model["digest"]);
    assert_eq!(found.body["precision"], model["precision"]);
}

#[tokio::test]
async fn an_engine_that_fails_or_panics_is_500_without_its_reason_and_goes_on() {
    let mut calls = 0;
    let engine: Behaviour = Box::new(move |batch| {
        calls += 1;
        match calls {
            1 => Err(InferenceError::Output {
                found: vec![77],
                images: 1,
            }),
            2 => panic!("the engine panics, as asked"),
            3 => Ok(Vec::new()),
            _ => Ok(embeddings(batch)),
        }
    });
    let router = serving([("tiny", ready(engine, 4))]);
    for _ in 0..3 {
        let failed = answer(&router, post(EMBEDDINGS)).await;
        assert_eq!(failed.problem(), (500, "engine"));
        assert!(
            !failed.body["detail"].to_string().contains("77"),
            "{failed:?}"
        );
    }
    assert_eq!(answer(&router, post(EMBEDDINGS)).await.status, 200);
}

#[tokio::test]
async fn a_handler_that_panics_is_500() {
    let panics = Router::new().route("/panics", get(async || -> () { panic!("as asked") }));
    let app = application([], Duration::from_secs(1));
    let router = surround(panics, &app, Protection::default()).with_state(app);
    let failed = answer(&router, ask(Method::GET, "/panics")).await;
    assert_eq!(failed.problem(), (500, "internal"));
    assert!(failed.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_request_that_names_no_model_means_the_only_one_that_is_served() {
    let one = || ready(answers(), 4);
    for (models, status, expected) in [
        (vec![("a", one())], 200, None),
        (vec![("a", one()), ("b", refused())], 200, None),
        (
            vec![("a", one()), ("b", one())],
            400,
            Some("model-not-named"),
        ),
        (
            vec![("a", one()), ("b", loading())],
            503,
            Some("model-loading"),
        ),
        (vec![("a", loading())], 503, Some("model-loading")),
        (vec![("a", refused())], 503, Some("model-refused")),
        (
            vec![("a", refused()), ("b", refused())],
            503,
            Some("nothing-served"),
        ),
        (vec![], 503, Some("nothing-served")),
    ] {
        let found = answer(&serving(models), post(EMBEDDINGS)).await;
        assert_eq!(found.status, status, "{found:?}");
        if let Some(expected) = expected {
            assert_eq!(found.problem(), (status, expected));
        }
    }
}

async fn status(router: &Router, path: &str) -> u16 {
    answer(router, ask(Method::GET, path)).await.status
}

#[tokio::test]
async fn a_server_is_ready_when_all_are_decided_about_and_one_is_served() {
    let one = || ready(answers(), 4);
    let served = serving([("a", one()), ("b", refused())]);
    let found = answer(&served, ask(Method::GET, "/readyz")).await;
    let expected = json!({"ready": true, "models": {"a": "ready", "b": "refused"}});
    assert_eq!((found.status, found.body), (200, expected));
    for (a, b) in [(one(), loading()), (refused(), refused())] {
        let unready = serving([("a", a), ("b", b)]);
        assert_eq!(status(&unready, "/readyz").await, 503);
        assert_eq!(status(&unready, "/livez").await, 200);
    }
    let app = application([("a", one())], Duration::from_secs(1));
    app.registry.begin_to_close();
    let router = router(app, Protection::default());
    assert_eq!(status(&router, "/readyz").await, 503);
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let router = serving([("tiny", ready(answers(), 4))]);
    for (request, problem) in [
        (ask(Method::GET, "/v1/models/%FF"), (404, "unknown-model")),
        (
            ask(Method::GET, "/v1/models/..%2F..%2Fetc%2Fpasswd"),
            (404, "unknown-model"),
        ),
        (ask(Method::GET, "/v1/models/.."), (404, "unknown-model")),
        (
            ask(Method::GET, "/v1/models/%2e%2e"),
            (404, "unknown-model"),
        ),
        (
            ask(Method::GET, "/v1/models/tiny%2F..%2Ftiny"),
            (404, "unknown-model"),
        ),
        (ask(Method::GET, "/v1/models/../../etc"), (404, "not-found")),
        (ask(Method::GET, "/docs/nope.js"), (404, "not-found")),
        (ask(Method::GET, "/nope/%FF"), (404, "not-found")),
        (ask(Method::POST, "/docs/"), (405, "method-not-allowed")),
        (
            ask(Method::PUT, "/openapi.json"),
            (405, "method-not-allowed"),
        ),
        (post("/v1/embeddings?%FF=1"), (400, "unknown-field")),
        (post("/v1/embeddings?model=%FF"), (404, "unknown-model")),
    ] {
        let uri = request.uri().clone();
        assert_eq!(answer(&router, request).await.problem(), problem, "{uri}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let encoded = |encoding: &str| {
        let request = Request::post(EMBEDDINGS).header(header::CONTENT_TYPE, "image/bmp");
        request
            .header(header::CONTENT_ENCODING, encoding)
            .body(image())
            .unwrap()
    };
    let refused = answer(&router, encoded("gzip")).await;
    assert_eq!(refused.problem(), (415, "unsupported-content-encoding"));
    assert_eq!(answer(&router, encoded("identity")).await.status, 200);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    fn content_type() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("image/png".to_owned()),
            Just("application/json".to_owned()),
            Just("multipart/form-data; boundary=b".to_owned()),
            "[ -~]{0,40}",
        ]
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let part = "(--b(--)?\r\n)?(Content-Disposition: form-data; name=\"(image|model|normalize|x)\"\r\n)?(\r\n)?[ -~]{0,8}(\r\n)?";
        let json = "\\{(\"(input|model|normalize|dimensions|x)\": ?(\\[|\"data:;base64,AQ==\"|\"a\"|1|null|true|\\]|,){1,3}){0,3}\\}?";
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat().into_bytes()),
            json.prop_map(String::into_bytes),
        ]
    }

    fn request() -> impl Strategy<Value = Request<Body>> {
        let method = prop_oneof![4 => Just("POST"), 1 => Just("GET"), 1 => Just("PATCH")];
        let path = prop_oneof![
            6 => "/v1/embeddings(\\?(model|normalize|x|%FF)=[a-z%=&]{0,8})?",
            3 => "/v1/(features|regions|segmentations)(\\?(model|stage|view|size|method|boxes|output|x)=[a-z0-9%=&]{0,8})?",
            1 => "/v1/models/[a-z%./]{0,8}",
            1 => "/[a-z0-9/%.]{0,20}",
        ];
        let accept = prop_oneof![3 => Just("*/*".to_owned()), 1 => "[ -~]{0,30}"];
        let parts = (method, path, content_type(), accept, body());
        parts.prop_filter_map("no URI", |(method, path, content_type, accept, body)| {
            let request = Request::builder().method(method).uri(path);
            let request = request.header(header::CONTENT_TYPE, content_type);
            request
                .header(header::ACCEPT, accept)
                .body(Body::from(body))
                .ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_request_makes_the_server_fail_and_every_refusal_is_a_problem(requests in prop::collection::vec(request(), 1..8)) {
            thread_local! {
                static SERVER: (tokio::runtime::Runtime, Router) = {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    (runtime, serving([("tiny", ready(answers(), 8))]))
                };
            }
            SERVER.with(|(runtime, router)| {
                for request in requests {
                    let asked = format!("{request:?}");
                    let found = runtime.block_on(answer(router, request));
                    prop_assert!(found.status < 500, "{asked}: {found:?}");
                    if found.status >= 400 {
                        found.problem();
                    }
                }
                Ok(())
            })?;
        }
    }
}
