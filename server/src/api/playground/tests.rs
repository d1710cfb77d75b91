//! The page is served whole, as what it is, and reaches for nothing outside.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{Method, Request};

use super::*;
use crate::protect::Protection;
use crate::serve::routes;
use crate::testing::{answer as ask_for, application, ask, serving, text};

fn page() -> Router {
    serving([])
}

#[tokio::test]
async fn the_page_and_its_files_have_their_types_and_a_policy_that_keeps_them_here() {
    let router = page();
    let files = ASSETS
        .iter()
        .map(|asset| (format!("/playground/{}", asset.name), asset));
    for (path, asset) in [("/".to_owned(), &INDEX)].into_iter().chain(files) {
        let found = ask_for(&router, ask(Method::GET, &path)).await;
        assert_eq!(found.status, 200, "{path}");
        let headers = &found.headers;
        assert_eq!(headers[header::CONTENT_TYPE], asset.media_type, "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            headers
                .get_all(header::CONTENT_SECURITY_POLICY)
                .iter()
                .count(),
            1
        );
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
    }
    let data = ask_for(&router, ask(Method::GET, "/v1/models")).await;
    let policy = &data.headers[header::CONTENT_SECURITY_POLICY];
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
}

#[tokio::test]
async fn every_file_that_the_page_names_is_there_and_every_file_is_named() {
    let router = page();
    let mut named = BTreeSet::new();
    let scripts = ASSETS.iter().filter(|asset| asset.media_type == SCRIPT);
    for asset in scripts.chain([&INDEX]) {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for quoted in text.split(['"', '\'', '`']) {
            let file = quoted
                .trim_start_matches("playground/")
                .trim_start_matches("./");
            let kinds = [".js", ".css", ".svg", ".jpg"];
            if kinds.iter().any(|kind| file.ends_with(kind)) && !file.contains(['/', ' ', '$']) {
                named.insert(file.to_owned());
            }
        }
    }
    for file in &named {
        let found = ask_for(&router, ask(Method::GET, &format!("/playground/{file}"))).await;
        assert_eq!(found.status, 200, "{file}");
    }
    let served = ASSETS.iter().map(|asset| asset.name.to_owned());
    assert_eq!(named, served.collect());
}

#[test]
fn the_page_names_no_address_outside() {
    let texts = ASSETS.iter().filter(|asset| asset.media_type != JPEG);
    for asset in texts.chain([&INDEX]) {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        let text = text.replace("http://www.w3.org/2000/svg", ""); // a name, which nothing fetches
        for outside in [
            "http://", "https://", "ws://", "wss://", "\"//", "'//", " url(", "@import",
        ] {
            assert!(!text.contains(outside), "{} has {outside}", asset.name);
        }
    }
    let page = std::str::from_utf8(INDEX.bytes).unwrap();
    for inline in [" style=", "<style", " onclick=", "<script>"] {
        assert!(!page.contains(inline), "the page has {inline}");
    }
}

#[tokio::test]
async fn a_client_that_has_a_file_is_told_so() {
    let router = page();
    let first = ask_for(&router, ask(Method::GET, "/")).await;
    let tag = first.headers[header::ETAG].to_str().unwrap();
    let again = |tag: &str| {
        let request = Request::get("/").header(header::IF_NONE_MATCH, tag);
        request.body(axum::body::Body::empty()).unwrap()
    };
    for known in [
        tag.to_owned(),
        format!("W/{tag}"),
        format!("\"old\", {tag}"),
    ] {
        let found = ask_for(&router, again(&known)).await;
        assert_eq!(
            (found.status, &found.headers[header::ETAG]),
            (304, &first.headers[header::ETAG])
        );
    }
    assert!(
        text(&router, again("\"old\""))
            .await
            .contains("<!doctype html>")
    );
}

#[tokio::test]
async fn what_the_page_does_not_have_is_a_problem_and_without_a_page_all_of_it() {
    let served = page();
    for path in [
        "/playground/nope.js",
        "/playground/..%2Fmain.js",
        "/playground/",
        "/playground",
    ] {
        let found = ask_for(&served, ask(Method::GET, path)).await;
        assert_eq!(found.problem(), (404, "not-found"), "{path}");
    }
    let posted = ask_for(&served, ask(Method::POST, "/")).await;
    assert_eq!(posted.problem(), (405, "method-not-allowed"));
    let hidden = routes::router(
        application([], Duration::from_secs(1)),
        Protection {
            playground: Playground::Hidden,
            ..Protection::default()
        },
    );
    for path in ["/", "/playground/main.js"] {
        let found = ask_for(&hidden, ask(Method::GET, path)).await;
        assert_eq!(found.problem(), (404, "not-found"), "{path}");
    }
}
