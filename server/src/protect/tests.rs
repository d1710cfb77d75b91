//! Who gets in and who does not, and what browsers are told.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};

use super::*;
use crate::serve::routes::router;
use crate::testing::{self, Answer, answer, answers, application, ask, image, post, ready};

const INFERENCE: &str = "inference-key-1234567890";
const METRICS: &str = "metrics-key-1234567890";
const ADMIN: &str = "admin-key-1234567890";

fn protected(protection: Protection) -> Router {
    let tiny = [("tiny", ready(answers(), 4))];
    router(application(tiny, Duration::from_mins(10)), protection)
}

fn gate() -> (tempfile::NamedTempFile, Gate) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("inference:{INFERENCE}\nmetrics:{METRICS}\nadmin:{ADMIN}\n");
    std::fs::write(file.path(), text).unwrap();
    let gate = Gate::open(Some(file.path().to_owned())).unwrap();
    (file, gate)
}

fn locked() -> Router {
    let (_file, gate) = gate();
    protected(Protection {
        gate,
        ..Protection::default()
    })
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    let value = HeaderValue::from_str(value).unwrap();
    request
        .headers_mut()
        .insert(HeaderName::from_static(name), value);
    request
}

fn bearer(request: Request<Body>, key: &str) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {key}"))
}

#[tokio::test]
async fn probes_and_the_documentation_are_open_and_all_else_needs_a_key() {
    let router = locked();
    for open in [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "/",
        "/playground/main.js",
    ] {
        assert_eq!(
            answer(&router, ask(Method::GET, open)).await.status,
            200,
            "{open}"
        );
    }
    for closed in [
        ask(Method::GET, "/metrics"),
        ask(Method::GET, "/v1/models"),
        ask(Method::GET, "/v1/models/tiny"),
        post("/v1/embeddings"),
        post("/v1/features"),
        post("/v1/regions"),
        post("/v1/segmentations"),
        ask(Method::DELETE, "/v1/models/tiny"),
        ask(Method::GET, "/nowhere"),
    ] {
        let asked = format!("{closed:?}");
        let refused = answer(&router, closed).await;
        assert_eq!(refused.problem(), (401, "key-missing"), "{asked}");
        assert_eq!(
            refused.headers["www-authenticate"],
            "Bearer realm=\"detcon\""
        );
    }
}

#[tokio::test]
async fn only_those_who_administer_change_the_models() {
    let router = locked();
    for (method, path) in [
        (Method::PUT, "/v1/models/new"),
        (Method::DELETE, "/v1/models/tiny"),
        (Method::POST, "/v1/models/tiny/load"),
        (Method::POST, "/v1/models/tiny/unload"),
        (Method::GET, "/v1/imports"),
        (Method::GET, "/v1/imports/a"),
    ] {
        let asked = |key| answer(&router, bearer(ask(method.clone(), path), key));
        let refused = asked(INFERENCE).await;
        assert_eq!(refused.problem(), (403, "key-not-allowed"), "{path}");
        let let_in = asked(ADMIN).await;
        assert_eq!(let_in.problem(), (403, "uploads-off"), "{path}");
    }
}

#[tokio::test]
async fn the_inference_protocol_asks_for_keys_but_in_its_probes() {
    let router = locked();
    for (method, path, key, status) in [
        (Method::GET, "/v2/health/live", "", 200),
        (Method::GET, "/v2/health/ready", "", 200),
        (Method::GET, "/v2", "", 401),
        (Method::GET, "/v2", INFERENCE, 200),
        (Method::GET, "/v2/models/tiny", INFERENCE, 200),
        (Method::GET, "/v2/models/tiny", METRICS, 403),
        (Method::POST, "/v2/repository/index", INFERENCE, 200),
        (
            Method::POST,
            "/v2/repository/models/tiny/load",
            INFERENCE,
            403,
        ),
        (
            Method::POST,
            "/v2/repository/models/tiny/unload",
            INFERENCE,
            403,
        ),
        (
            Method::GET,
            "/detcon/tiny/resolve/main/manifest.json",
            "",
            401,
        ),
        (Method::GET, "/api/models/detcon/tiny", "", 401),
    ] {
        let request = ask(method, path);
        let request = if key.is_empty() {
            request
        } else {
            bearer(request, key)
        };
        let found = answer(&router, request).await;
        assert_eq!(found.status, status, "{path} {key}: {found:?}");
        let of_protocol = found.body["error"].is_string();
        assert_eq!(
            of_protocol,
            status >= 400 && path.starts_with("/v2"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scope_allows() {
    let router = locked();
    let models = || ask(Method::GET, "/v1/models");
    let metrics = || ask(Method::GET, "/metrics");
    for (request, status) in [
        (bearer(models(), INFERENCE), 200),
        (bearer(post("/v1/embeddings"), INFERENCE), 200),
        (with(models(), "x-api-key", INFERENCE), 200),
        (
            with(models(), "authorization", &format!("bEARER  {ADMIN} ")),
            200,
        ),
        (bearer(metrics(), METRICS), 200),
        (bearer(metrics(), ADMIN), 200),
        (bearer(metrics(), INFERENCE), 403),
        (bearer(models(), METRICS), 403),
        (
            bearer(ask(Method::DELETE, "/v1/models/tiny"), INFERENCE),
            403,
        ),
        (bearer(models(), "inference-key-1234567891"), 401),
        (bearer(models(), ""), 401),
        (with(models(), "authorization", INFERENCE), 401),
        (with(models(), "authorization", "Basic YTpi"), 401),
        // The one that counts is named first in the documentation.
        (
            with(bearer(models(), "no-such-key-1234"), "x-api-key", INFERENCE),
            401,
        ),
    ] {
        let asked = format!("{request:?}");
        let found = answer(&router, request).await;
        assert_eq!(found.status, status, "{asked}");
        if status >= 400 {
            assert!(!found.body.to_string().contains("1234"), "{found:?}");
        }
    }
    let found = answer(&router, bearer(metrics(), INFERENCE)).await;
    assert_eq!(found.problem(), (403, "key-not-allowed"));
    assert!(
        found.body["detail"]
            .as_str()
            .unwrap()
            .contains("scope metrics")
    );
}

#[tokio::test]
async fn a_refused_request_is_refused_before_its_body_is_read() {
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = Request::post("/v1/embeddings")
        .body(Body::from_stream(never))
        .unwrap();
    assert_eq!(
        answer(&locked(), request).await.problem(),
        (401, "key-missing")
    );
}

#[test]
fn keys_are_read_again_and_stay_where_the_file_is_no_good() {
    let (file, gate) = gate();
    let allowed = |key: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(API_KEY, HeaderValue::from_str(key).unwrap());
        gate.check(Access::Key(Scope::Inference), &headers).is_ok()
    };
    let read_again = || gate.0.as_ref().unwrap().read_again();
    std::fs::write(file.path(), "nonsense").unwrap();
    assert!(read_again().is_err() && allowed(INFERENCE));
    std::fs::write(file.path(), "inference:another-key-123456").unwrap();
    assert!(read_again().is_ok() && !allowed(INFERENCE) && allowed("another-key-123456"));
}

async fn preflight(router: &Router, origin: &str) -> Answer {
    let request = with(ask(Method::OPTIONS, "/v1/embeddings"), "origin", origin);
    let request = with(request, "access-control-request-method", "POST");
    let asked = "authorization,content-type";
    answer(
        router,
        with(request, "access-control-request-headers", asked),
    )
    .await
}

#[tokio::test]
async fn pages_of_named_origins_may_ask_with_a_key_and_others_may_not() {
    let (_file, gate) = gate();
    let origins = vec!["https://example.org".parse().unwrap()];
    let router = protected(Protection {
        gate,
        origins,
        ..Protection::default()
    });
    let allowed = preflight(&router, "https://example.org").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://example.org"
    );
    let headers = allowed.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(headers.contains("authorization") && headers.contains("content-type"));
    let other = preflight(&router, "https://example.com").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    // Scripts can read why they were refused.
    let refused = with(post("/v1/embeddings"), "origin", "https://example.org");
    let refused = answer(&router, refused).await;
    assert_eq!(refused.problem(), (401, "key-missing"));
    assert_eq!(
        refused.headers["access-control-allow-origin"],
        "https://example.org"
    );
    let answered = bearer(post("/v1/embeddings"), INFERENCE);
    let answered = answer(&router, with(answered, "origin", "https://example.org")).await;
    assert_eq!(
        answered.headers["access-control-allow-origin"],
        "https://example.org"
    );
}

#[tokio::test]
async fn without_named_origins_browsers_are_told_nothing() {
    let router = protected(Protection::default());
    let found = preflight(&router, "https://example.org").await;
    assert_eq!(found.problem(), (405, "method-not-allowed"));
    let found = answer(
        &router,
        with(post("/v1/embeddings"), "origin", "https://example.org"),
    )
    .await;
    assert_eq!(found.status, 200);
    for answer in [preflight(&router, "https://example.org").await, found] {
        let cors = answer
            .headers
            .keys()
            .find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(cors, None);
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_take_it_for_what_it_is() {
    let router = locked();
    let png = Request::post("/v1/embeddings").body(image()).unwrap();
    for request in [
        png,
        ask(Method::GET, "/livez"),
        ask(Method::GET, "/docs/"),
        ask(Method::GET, "/nope"),
    ] {
        let found = answer(&router, request).await;
        assert_eq!(found.headers["x-content-type-options"], "nosniff");
        assert_eq!(found.headers["referrer-policy"], "no-referrer");
        let policy = found.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    }
}

/// The page's policy allows its own files alone; a script in the page itself would not run.
#[tokio::test]
async fn the_documentation_page_needs_nothing_that_its_policy_forbids() {
    let page = testing::text(&locked(), ask(Method::GET, "/docs/")).await;
    assert!(page.contains("<script"), "{page}");
    for script in page.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap();
        assert!(tag.contains("src=\"./"), "{tag}");
        assert!(rest.trim_start().starts_with("</script>"), "{rest}");
    }
    assert!(
        !page.contains(" onload=") && !page.contains("https://"),
        "{page}"
    );
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing_on_a_server_without_keys_unless_they_are_listed() {
    let changes = [
        (Method::PUT, "/v1/models/new"),
        (Method::DELETE, "/v1/models/tiny"),
        (Method::POST, "/v1/models/tiny/load"),
        (Method::POST, "/v1/models/tiny/unload"),
        (Method::POST, "/v2/repository/models/tiny/load"),
        (Method::POST, "/v2/repository/models/tiny/unload"),
    ];
    let there = "https://there.example";
    let open = protected(Protection::default());
    let listed = protected(Protection {
        origins: vec![there.parse().unwrap()],
        ..Protection::default()
    });
    for (method, path) in changes {
        let across = || {
            let request = with(ask(method.clone(), path), "sec-fetch-site", "cross-site");
            with(request, "origin", there)
        };
        let refused = answer(&open, across()).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.to_string().contains("--cors-origin"), "{path}");
        for (router, request) in [(&open, ask(method.clone(), path)), (&listed, across())] {
            let found = answer(router, request).await;
            assert_eq!(found.status, 403);
            assert!(
                found.body.to_string().contains("--allow-uploads"),
                "{found:?}"
            );
        }
    }
    // What changes nothing may be asked from anywhere; whether a page may read the answer is for browsers to decide.
    let across = with(post("/v1/embeddings"), "sec-fetch-site", "cross-site");
    assert_eq!(answer(&open, across).await.status, 200);
}
