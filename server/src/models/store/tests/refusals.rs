//! Uploads that are refused, and leave nothing.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::*;

/// Pickles that would call something when Python reads them.
#[tokio::test]
async fn a_hostile_pickle_is_refused_by_the_name_of_what_it_would_call() {
    let server = Server::new();
    let sentinel = server.root.path().join(".sentinel");
    let touch = format!("touch {}", sentinel.display());
    let length = u32::try_from(touch.len()).unwrap().to_le_bytes();
    let (before, after) = (b"\x80\x02cposix\nsystem\nX", b"\x85R.");
    let pickle = [&before[..], &length, touch.as_bytes(), after].concat();
    let taken = server.put("/v1/models/new", OCTETS, pickle).await;
    let import = server
        .outcome(taken.headers[header::LOCATION].to_str().unwrap())
        .await;
    assert_eq!(import["state"], "failed", "{import}");
    assert!(
        import["reason"].as_str().unwrap().contains("posix.system"),
        "{import}"
    );
    assert!(!sentinel.exists());
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn what_is_no_model_is_not_stored() {
    let server = Server::new();
    let whole = files("new", 0);
    let with = |name: &str, content: &[u8]| {
        let mut files = whole.clone();
        files.insert(name.to_owned(), content.to_owned());
        tar(&files)
    };
    let mut less = whole.clone();
    less.remove(file::ONNX);
    let truncated = tar(&whole);
    let truncated = truncated[..truncated.len() / 2].to_vec();
    for (archive, expected) in [
        (tar(&files("old", 0)), "\"old\""),
        (with(file::ONNX, b"another"), "model.onnx is damaged"),
        (
            with(file::MANIFEST, b"{}"),
            "manifest.json is not a manifest",
        ),
        (
            with(file::HEADS, b"more"),
            "heads.safetensors is not among the files",
        ),
        (
            with("heads/voc.safetensors", b"more"),
            "heads/voc.safetensors is not among the files",
        ),
        (with("run.sh", b"more"), "\"run.sh\""),
        (tar(&less), "model.onnx is damaged (it is missing)"),
        (truncated, "breaks off"),
        (b"nothing of the kind".to_vec(), "cannot be read"),
    ] {
        let found = server.put("/v1/models/new", TAR, archive).await;
        assert_eq!(found.problem(), (422, "model-invalid"), "{expected}");
        let detail = found.body["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{detail}");
        assert_eq!(server.models(), [""; 0]);
    }
    assert!(server.loaded.try_recv().is_err());
}

#[tokio::test]
async fn a_model_that_fails_its_self_check_is_not_stored() {
    let server = Server::refusing(Some("its self-check failed"));
    let found = server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    assert_eq!(found.problem(), (422, "model-invalid"));
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_before_the_body() {
    let server = Server::new();
    let weights = "network=target";
    for (path, content_type, expected) in [
        (
            "/v1/models/..%2Fnew".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        ("/v1/models/%2e%2e".to_owned(), TAR, (400, "invalid-field")),
        ("/v1/models/.new".to_owned(), TAR, (400, "invalid-field")),
        ("/v1/models/%FF".to_owned(), TAR, (400, "invalid-field")),
        (
            "/v1/models/new?nope=1".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?replace=yes".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?sha256=12".to_owned(),
            TAR,
            (400, "invalid-field"),
        ),
        (
            format!("/v1/models/new?{weights}"),
            TAR,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new?network=both".to_owned(),
            OCTETS,
            (400, "invalid-field"),
        ),
        (
            format!("/v1/models/new?source={}", "x".repeat(501)),
            OCTETS,
            (400, "invalid-field"),
        ),
        (
            "/v1/models/new".to_owned(),
            "image/png",
            (415, "unsupported-media-type"),
        ),
    ] {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let found = server.put(&path, content_type, never).await;
        assert_eq!(found.problem(), expected, "{path}");
    }
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_client_says_is_not_stored() {
    let server = Server::new();
    let archive = tar(&files("new", 0));
    let other = sha256(b"something else");
    let path = format!("/v1/models/new?sha256={other}");
    let found = server.put(&path, TAR, archive.clone()).await;
    assert_eq!(found.problem(), (422, "digest-mismatch"));
    let send = async |digest: &str| {
        let request = Request::put("/v1/models/new").header(header::CONTENT_TYPE, TAR);
        let request = request.header("content-digest", digest);
        answer(
            &server.router,
            request.body(archive.clone().into()).unwrap(),
        )
        .await
        .status
    };
    assert_eq!(
        send("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:").await,
        422
    );
    assert_eq!(send("sha-512=:AAAA:").await, 400);
    assert_eq!(server.models(), [""; 0]);
    let path = format!("/v1/models/new?sha256={}", sha256(&archive));
    assert_eq!(server.put(&path, TAR, archive.clone()).await.status, 201);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_breaks_off_is_not_stored() {
    let server = Server::new();
    let long = vec![0; 1 + usize::try_from(LIMIT).unwrap()];
    let found = server.put("/v1/models/new", OCTETS, long.clone()).await;
    assert_eq!(found.problem(), (413, "upload-too-large"));
    let announced = Request::put("/v1/models/new")
        .header(header::CONTENT_TYPE, OCTETS)
        .header(header::CONTENT_LENGTH, long.len())
        .body(Body::empty());
    let found = answer(&server.router, announced.unwrap()).await;
    assert_eq!(found.problem(), (413, "upload-too-large"));
    let broken = stream::iter([
        Ok(Bytes::from_static(b"some")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let found = server
        .put("/v1/models/new", OCTETS, Body::from_stream(broken))
        .await;
    assert_eq!(found.problem(), (400, "body-incomplete"));
    assert_eq!(server.models(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_midway_leaves_nothing() {
    let server = Server::new();
    let (sent, seen) = tokio::sync::oneshot::channel();
    let some = stream::once(async {
        let _ = sent.send(()); // the test waits for it
        Ok::<_, io::Error>(Bytes::from_static(b"some"))
    });
    let body = Body::from_stream(some.chain(stream::pending()));
    let upload = server.put("/v1/models/new", OCTETS, body);
    tokio::select! {
        found = upload => panic!("{found:?}"),
        seen = async { seen.await.unwrap(); tokio::task::yield_now().await } => seen,
    }
    let imports = server.ask(Method::GET, "/v1/imports").await;
    assert_eq!(
        imports.body["data"][0]["state"], "failed",
        "{:?}",
        imports.body
    );
    assert_eq!(server.models(), [""; 0]);
    let unknown = server.ask(Method::GET, "/v1/imports/nope").await;
    assert_eq!(unknown.problem(), (404, "unknown-import"));
}

#[tokio::test]
async fn a_server_that_takes_no_uploads_says_so() {
    let router = crate::testing::serving([("tiny", ready(answers(), 4))]);
    for (method, path) in [
        (Method::PUT, "/v1/models/new"),
        (Method::DELETE, "/v1/models/tiny"),
        (Method::GET, "/v1/imports"),
    ] {
        let found = answer(&router, ask(method, path)).await;
        assert_eq!(found.problem(), (403, "uploads-off"), "{path}");
    }
}
