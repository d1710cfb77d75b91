//! The files of a model, sent whole and in parts.

use super::*;

#[tokio::test]
async fn the_files_of_a_model_are_sent_whole_and_in_parts() {
    let server = Server::new();
    let files = files("new", 0);
    server.put("/v1/models/new", TAR, tar(&files)).await;
    let listed = server.ask(Method::GET, "/v1/models/new/files").await.body;
    assert_eq!(listed["data"].as_array().unwrap().len(), files.len());
    for entry in listed["data"].as_array().unwrap() {
        let name = entry["path"].as_str().unwrap();
        let content = &files[name];
        let get = async |name: &str, headers: &[(header::HeaderName, &str)]| {
            let mut request = Request::get(format!("/v1/models/new/files/{name}"));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(server.router.clone(), request)
                .await
                .unwrap();
            let (parts, body) = response.into_parts();
            (parts, axum::body::to_bytes(body, usize::MAX).await.unwrap())
        };
        let (whole, body) = get(name, &[]).await;
        assert_eq!(
            (whole.status.as_u16(), &body[..]),
            (200, &content[..]),
            "{name}"
        );
        assert_eq!(
            whole.headers[header::CONTENT_LENGTH],
            content.len().to_string()
        );
        let etag = whole.headers[header::ETAG].to_str().unwrap();
        assert_eq!(etag, format!("\"{}\"", sha256(content)));
        let range = (header::RANGE, "bytes=1-10");
        let (piece, body) = get(name, &[range.clone(), (header::IF_RANGE, etag)]).await;
        assert_eq!((piece.status.as_u16(), &body[..]), (206, &content[1..=10]));
        let expected = format!("bytes 1-10/{}", content.len());
        assert_eq!(piece.headers[header::CONTENT_RANGE], expected);
        assert_eq!(
            get(name, &[range, (header::IF_RANGE, "\"old\"")])
                .await
                .0
                .status,
            200
        );
        let (unchanged, body) = get(name, &[(header::IF_NONE_MATCH, etag)]).await;
        assert_eq!((unchanged.status.as_u16(), body.len()), (304, 0));
        let (past, _) = get(name, &[(header::RANGE, "bytes=99999999-")]).await;
        assert_eq!(past.status, 416);
        let expected = format!("bytes */{}", content.len());
        assert_eq!(past.headers[header::CONTENT_RANGE], expected);
    }
    let head = server
        .ask(Method::HEAD, "/v1/models/new/files/model.onnx")
        .await;
    let length = files[file::ONNX].len().to_string();
    assert_eq!(
        (head.status, &head.headers[header::CONTENT_LENGTH]),
        (200, &length.parse().unwrap())
    );
}

#[tokio::test]
async fn only_the_files_that_the_manifest_lists_are_sent() {
    let server = Server::new();
    server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    let place = server.root.path().join("new");
    fs::write(place.join("secret"), b"secret").unwrap();
    fs::write(server.root.path().join("secret"), b"secret").unwrap();
    for path in [
        "new/files/secret",
        "new/files/..%2Fsecret",
        "new/files/%2e%2e/secret",
        "new/files/.%2Fmodel.onnx",
        "new/files/%2Fetc%2Fpasswd",
        "new/files/model.onnx%2F",
        "new/files/%FF",
        "old/files",
        "..%2Fnew/files",
        ".detcon-staging/files/lock",
    ] {
        let found = server.ask(Method::GET, &format!("/v1/models/{path}")).await;
        assert_eq!(found.status, 404, "{path}: {found:?}");
    }
    fs::write(place.join(file::ONNX), b"shorter").unwrap();
    let damaged = server
        .ask(Method::GET, "/v1/models/new/files/model.onnx")
        .await;
    assert_eq!(damaged.problem(), (503, "model-refused"));
}
