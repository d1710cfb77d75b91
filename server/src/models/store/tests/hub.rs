//! The store as a hub: a repository has the commit of the model that is in its directory, and no other.

use super::*;

const FILE: &str = "resolve/main/manifest.json";

#[tokio::test]
async fn a_model_that_is_replaced_is_another_commit() {
    let server = Server::new();
    let put = async |seed| {
        let sent = server.put("/v1/models/new?replace=true", TAR, tar(&files("new", seed)));
        assert!(sent.await.status < 300);
        let info = server.ask(Method::GET, "/api/models/detcon/new").await;
        info.body["sha"].as_str().unwrap().to_owned()
    };
    let at = async |revision: &str| {
        let path = format!("/detcon/new/resolve/{revision}/manifest.json");
        server.ask(Method::GET, &path).await
    };
    let before = put(0).await;
    assert_eq!(before, server.digest("new")[..40]);
    let found = at(&before).await;
    assert_eq!(found.status, 200);
    assert_eq!(found.headers["x-repo-commit"], before);
    let after = put(1).await;
    assert_ne!(before, after);
    for (revision, status) in [(&*before, 404), (&after, 200), ("main", 200), ("v1", 404)] {
        let found = at(revision).await;
        assert_eq!(found.status, status, "{revision}");
        if status == 404 {
            assert_eq!(found.problem(), (404, "unknown-revision"));
            assert_eq!(found.headers["x-error-code"], "RevisionNotFound");
        }
    }
}

#[tokio::test]
async fn what_a_hub_does_not_have_is_told_as_its_clients_read_it() {
    let server = Server::new();
    server
        .put("/v1/models/new", TAR, tar(&files("new", 0)))
        .await;
    for path in [format!("/detcon/new/{FILE}"), format!("/new/{FILE}")] {
        assert_eq!(server.ask(Method::HEAD, &path).await.status, 200, "{path}");
    }
    for (path, code) in [
        (format!("/detcon/other/{FILE}"), "RepoNotFound"),
        (format!("/somebody/new/{FILE}"), "RepoNotFound"),
        (format!("/detcon/../{FILE}"), "RepoNotFound"),
        ("/api/models/other/tree/main".to_owned(), "RepoNotFound"),
        ("/new/resolve/main/other.json".to_owned(), "EntryNotFound"),
        (
            "/new/resolve/main/folder/other.json".to_owned(),
            "EntryNotFound",
        ),
        (
            "/new/resolve/main/%2e%2e%2fmanifest.json".to_owned(),
            "EntryNotFound",
        ),
        (
            "/api/models/new/revision/dev".to_owned(),
            "RevisionNotFound",
        ),
    ] {
        let refused = server.ask(Method::GET, &path).await;
        assert_eq!(refused.status, 404, "{path}");
        assert_eq!(refused.headers["x-error-code"], code, "{path}");
        assert_eq!(
            refused.headers["x-error-message"],
            refused.body["detail"].as_str().unwrap()
        );
    }
}
