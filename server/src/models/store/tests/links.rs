//! Files of models whose directories are laid with links.

use std::os::unix::fs::symlink;

use super::*;

/// Lays a model's files somewhere below `root`, so that `root/new` shows them.
type Lay = fn(&Path, &BTreeMap<String, Vec<u8>>);

fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
}

/// As Kubernetes lays volumes: `NAME/FILE -> ..data/FILE`, `NAME/..data -> ..VERSION`.
fn volume(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let place = root.join("new");
    write(&place.join("..2026_11_25"), files);
    symlink("..2026_11_25", place.join("..data")).unwrap();
    for name in files.keys() {
        symlink(Path::new("..data").join(name), place.join(name)).unwrap();
    }
}

/// As the Hub's cache lays snapshots: `snapshots/COMMIT/FILE -> ../../blobs/DIGEST`.
fn snapshot(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let cache = root.join(".models--org--new");
    let blobs = files
        .values()
        .map(|content| (sha256(content), content.clone()));
    write(&cache.join("blobs"), &blobs.collect());
    let snapshot = cache.join("snapshots/0123456789");
    fs::create_dir_all(&snapshot).unwrap();
    for (name, content) in files {
        let blob = Path::new("../../blobs").join(sha256(content));
        symlink(blob, snapshot.join(name)).unwrap();
    }
    symlink(snapshot, root.join("new")).unwrap();
}

/// A link to a directory, as releases are switched.
fn release(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    write(&root.join(".releases/1/new"), files);
    symlink(".releases/1/new", root.join("new")).unwrap();
}

async fn get(server: &Server, name: &str) -> (u16, Vec<u8>) {
    let request = Request::get(format!("/v1/models/new/files/{name}"));
    let request = request.body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(server.router.clone(), request);
    let (parts, body) = response.await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (parts.status.as_u16(), body.into())
}

#[tokio::test]
async fn the_files_of_a_model_that_is_laid_with_links_are_sent() {
    for lay in [volume as Lay, snapshot, release] {
        let server = Server::new();
        let files = files("new", 0);
        lay(server.root.path(), &files);
        let listed = server.ask(Method::GET, "/v1/models/new/files").await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.body["data"].as_array().unwrap().len(), files.len());
        for (name, content) in &files {
            for _ in 0..2 {
                assert!(get(&server, name).await == (200, content.clone()), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn behind_a_link_only_what_the_manifest_lists_is_sent() {
    let server = Server::new();
    let files = files("new", 0);
    let place = server.root.path().join("new");
    write(&place, &files);
    let (content, linked) = (&files[file::ONNX], place.join(file::ONNX));
    let secret = server.root.path().join(".secret");
    let link = |target: &Path| {
        let _ = fs::remove_file(&linked); // a link or the file
        symlink(target, &linked).unwrap();
    };
    // Of the very length that is listed.
    fs::write(&secret, vec![b's'; content.len()]).unwrap();
    link(&secret);
    for _ in 0..2 {
        assert_eq!(get(&server, file::ONNX).await.0, 503);
    }
    // It becomes the file, and another again: what is known of it is of one state.
    fs::write(&secret, content).unwrap();
    assert!(get(&server, file::ONNX).await == (200, content.clone()));
    fs::write(&secret, vec![b's'; content.len()]).unwrap();
    assert_eq!(get(&server, file::ONNX).await.0, 503);
    for target in ["/etc/passwd", "/dev/zero", "/", "model.onnx", "nowhere"] {
        link(Path::new(target));
        assert_eq!(get(&server, file::ONNX).await.0, 503, "{target}");
    }
    symlink("/etc/passwd", place.join("passwd")).unwrap();
    assert_eq!(get(&server, "passwd").await.0, 404);
    let manifest = place.join(file::MANIFEST);
    fs::remove_file(&manifest).unwrap();
    symlink("/etc/passwd", manifest).unwrap();
    let (status, body) = get(&server, file::MANIFEST).await;
    assert_eq!(status, 503);
    assert!(!String::from_utf8(body).unwrap().contains("root"));
}

/// A head's file lies in a folder, which may be a link itself.
#[tokio::test]
async fn a_folder_that_is_a_link_gives_only_what_the_manifest_lists() {
    let server = Server::new();
    let mut files = files("new", 0);
    let head = b"a head".to_vec();
    let mut manifest: serde_json::Value = serde_json::from_slice(&files[file::MANIFEST]).unwrap();
    manifest["files"]["heads/voc.safetensors"] =
        json!({"bytes": head.len(), "sha256": sha256(&head)});
    files.insert(file::MANIFEST.to_owned(), manifest.to_string().into_bytes());
    let place = server.root.path().join("new");
    write(&place, &files);
    let elsewhere = server.root.path().join(".elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("voc.safetensors"), &head).unwrap();
    symlink("../.elsewhere", place.join("heads")).unwrap();
    assert!(get(&server, "heads/voc.safetensors").await == (200, head));
    fs::write(elsewhere.join("voc.safetensors"), "others").unwrap();
    assert_eq!(get(&server, "heads/voc.safetensors").await.0, 503);
}

/// Nobody writes to the pipe: were it waited for, the test would not end.
#[tokio::test]
async fn a_pipe_in_a_files_place_is_refused_at_once() {
    let server = Server::new();
    let place = server.root.path().join("new");
    write(&place, &files("new", 0));
    fs::remove_file(place.join(file::ONNX)).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, place.join(file::ONNX), mode).unwrap();
    assert_eq!(get(&server, file::ONNX).await.0, 503);
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_is_not_unknown() {
    let server = Server::new();
    symlink("new", server.root.path().join("new")).unwrap();
    let found = server.ask(Method::GET, "/v1/models/new/files").await;
    assert_eq!(found.problem(), (503, "model-refused"));
    let found = server.ask(Method::GET, "/v1/models/old/files").await;
    assert_eq!(found.problem(), (404, "unknown-model"));
}
