//! What is known about each request, whatever becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::{HeaderValue, Method};
use serde_json::Value;

use crate::testing::{answer, answers, ask, embeddings, post, ready, serving, text};

/// The samples of `OpenMetrics` text: name with labels, and value. What is no such text fails the test.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let text = text.strip_suffix("# EOF\n").expect("the text has its end");
    let (mut found, mut types) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap());
            assert!(words.next().is_some_and(|rest| !rest.is_empty()), "{line}");
            if what == "TYPE" {
                let kind = described.rsplit(' ').next().unwrap();
                let again = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(again, None, "{name} is described twice");
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect(line);
        let name = sample.split('{').next().unwrap();
        let family = |ending| {
            name.strip_suffix(ending)
                .and_then(|family| types.get(family))
        };
        let counted = ["_bucket", "_sum", "_count"].into_iter().find_map(family);
        let kind = types
            .get(name)
            .or(family("_total"))
            .or(counted)
            .expect(line);
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(
            name.starts_with("detcon_") || name.starts_with("process_"),
            "{line}"
        );
        let again = found.insert(sample.to_owned(), value.parse().expect(line));
        assert_eq!(again, None, "{sample} is there twice");
    }
    found
}

async fn metrics(router: &Router) -> BTreeMap<String, f64> {
    samples(&text(router, ask(Method::GET, "/metrics")).await)
}

fn outcomes(samples: &BTreeMap<String, f64>) -> BTreeMap<&str, f64> {
    let own = samples.iter().filter_map(|(sample, value)| {
        let name = sample.strip_prefix("detcon_request_outcomes_total{outcome=\"")?;
        Some((name.strip_suffix("\"}")?, *value))
    });
    own.filter(|(_, count)| *count > 0.0).collect()
}

#[tokio::test]
async fn metrics_are_there_from_the_start_and_valid() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let found = metrics(&router).await;
    for name in [
        "detcon_request_outcomes_total{outcome=\"cancelled\"}",
        "detcon_request_outcomes_total{outcome=\"shed\"}",
        "detcon_request_outcomes_total{outcome=\"expired\"}",
        "detcon_handler_panics_total",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(found.contains_key(name), "{name} is not in {found:#?}");
    }
    assert!(found["process_resident_memory_bytes"] > 1e6);
    // This request itself.
    assert!((found["detcon_requests_in_flight"] - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn every_request_has_one_outcome_under_bounded_labels() {
    let router = serving([("tiny", ready(answers(), 4))]);
    assert_eq!(answer(&router, post("/v1/embeddings")).await.status, 200);
    for n in 0..3 {
        let made_up = format!("/v1/models/made-up-{n}");
        assert_eq!(
            answer(&router, ask(Method::GET, &made_up)).await.status,
            404
        );
        let nowhere = format!("/nowhere/{n}");
        let odd = Method::from_bytes(format!("ODD{n}").as_bytes()).unwrap();
        assert_eq!(answer(&router, ask(odd, &nowhere)).await.status, 404);
    }
    let found = metrics(&router).await;
    let expected = BTreeMap::from([("answered", 1.0), ("refused", 6.0)]);
    assert_eq!(outcomes(&found), expected);
    let requests: f64 = found
        .iter()
        .filter(|(sample, _)| sample.starts_with("detcon_requests_total"))
        .map(|(_, count)| count)
        .sum();
    assert!((requests - 7.0).abs() < f64::EPSILON);
    for sample in [
        "detcon_requests_total{method=\"POST\",route=\"/v1/embeddings\",status=\"200\",problem=\"\"}",
        "detcon_requests_total{method=\"GET\",route=\"/v1/models/{name}\",status=\"404\",problem=\"unknown-model\"}",
        "detcon_requests_total{method=\"other\",route=\"-\",status=\"404\",problem=\"not-found\"}",
        "detcon_request_duration_seconds_count{route=\"/v1/embeddings\",status=\"2xx\"}",
    ] {
        assert!(found.contains_key(sample), "{sample} is not in {found:#?}");
    }
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_counted_as_cancelled() {
    let (seen, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let engine = Box::new(move |batch: &detcon_inference::Batch| {
        let _ = seen.send(()); // the test may have seen enough
        let _ = gate.recv(); // the test may be over
        Ok(embeddings(batch))
    });
    let router = serving([("tiny", ready(engine, 4))]);
    let asking = router.clone();
    let asked = tokio::spawn(async move { answer(&asking, post("/v1/embeddings")).await });
    batches.recv().await.unwrap();
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    let found = metrics(&router).await;
    assert_eq!(outcomes(&found), BTreeMap::from([("cancelled", 1.0)]));
    assert!((found["detcon_requests_in_flight"] - 1.0).abs() < f64::EPSILON);
    drop(go);
}

#[tokio::test]
async fn an_answer_says_where_its_time_went_and_the_metrics_know_it_too() {
    let router = serving([("tiny", ready(answers(), 4))]);
    for (path, kind) in [
        ("/v1/embeddings", "application/json"),
        ("/v1/features", "application/json"),
    ] {
        let mut request = post(path);
        request
            .headers_mut()
            .insert("accept", HeaderValue::from_static(kind));
        let found = answer(&router, request).await;
        assert_eq!(found.status, 200, "{found:?}");
        let timing = found.headers["server-timing"].to_str().unwrap();
        let names: Vec<_> = timing
            .split(", ")
            .filter_map(|it| it.split(';').next())
            .collect();
        assert_eq!(
            names,
            ["total", "decode", "queue", "infer", "encode"],
            "{path}"
        );
    }
    let found = metrics(&router).await;
    for phase in ["decode", "queue", "infer", "encode"] {
        let count = format!("detcon_request_phase_duration_seconds_count{{phase=\"{phase}\"}}");
        assert!((found[&count] - 2.0).abs() < f64::EPSILON, "{phase}");
    }
}

#[tokio::test]
async fn each_model_tells_its_state_its_queue_and_what_its_engine_did() {
    let refused = || crate::models::State::Refused("it is damaged".into());
    let models = [
        ("a", ready(answers(), 4)),
        ("b", ready(answers(), 2)),
        ("c", refused()),
    ];
    let router = serving(models);
    for _ in 0..2 {
        assert_eq!(
            answer(&router, post("/v1/embeddings?model=a")).await.status,
            200
        );
    }
    let found = metrics(&router).await;
    for (sample, value) in [
        ("detcon_model_state{model=\"a\",state=\"ready\"}", 1.0),
        ("detcon_model_state{model=\"c\",state=\"ready\"}", 0.0),
        ("detcon_model_state{model=\"c\",state=\"refused\"}", 1.0),
        ("detcon_queue_capacity_images{model=\"b\"}", 2.0),
        ("detcon_queue_images{model=\"a\"}", 0.0),
        ("detcon_batch_images_count{model=\"a\"}", 2.0),
        ("detcon_batch_images_bucket{le=\"1.0\",model=\"a\"}", 2.0),
        ("detcon_batch_images_count{model=\"b\"}", 0.0),
        ("detcon_engine_panics_total{model=\"b\"}", 0.0),
    ] {
        let known = found
            .get(sample)
            .unwrap_or_else(|| panic!("{sample} is not in {found:#?}"));
        assert!((known - value).abs() < f64::EPSILON, "{sample} is {known}");
    }
    assert!(!found.contains_key("detcon_queue_images{model=\"c\"}"));
}

#[tokio::test]
async fn the_id_of_a_request_is_in_its_answer_and_in_its_problem() {
    let router = serving([("tiny", ready(answers(), 4))]);
    let mut request = ask(Method::GET, "/v1/models/nope");
    let id = HeaderValue::from_static("job-17/try:2");
    request.headers_mut().insert("x-request-id", id.clone());
    let found = answer(&router, request).await;
    assert_eq!(found.headers["x-request-id"], id);
    assert_eq!(found.body["request_id"], "job-17/try:2");
    let found = answer(&router, ask(Method::GET, "/nope")).await;
    assert_eq!(
        found.body["request_id"].as_str(),
        found.headers["x-request-id"].to_str().ok()
    );
    let found = answer(&router, ask(Method::GET, "/livez")).await;
    assert_eq!(found.body, Value::Null);
    let timing = found.headers["server-timing"].to_str().unwrap();
    assert!(timing.starts_with("total;dur="), "{timing}");
}

/// Metrics that a text names, wherever it does.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("detcon_") || word.starts_with("process_"))
}

#[tokio::test]
async fn what_the_dashboard_and_the_manifests_name_is_there() {
    let router = serving([("tiny", ready(answers(), 4))]);
    assert_eq!(answer(&router, post("/v1/embeddings")).await.status, 200);
    let found = metrics(&router).await;
    let served: BTreeSet<_> = found.keys().flat_map(|sample| named(sample)).collect();
    for (file, text) in [
        (
            "grafana/dashboards/detcon.json",
            include_str!("../../../docker/grafana/dashboards/detcon.json"),
        ),
        (
            "kubernetes/server.yaml",
            include_str!("../../../docker/kubernetes/server.yaml"),
        ),
    ] {
        let named: BTreeSet<_> = named(text).collect();
        assert!(!named.is_empty(), "{file} names no metric");
        let unknown: Vec<_> = named.difference(&served).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
}
