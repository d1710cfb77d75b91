//! Every form of input gives the server's embeddings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use detcon_tests::golden::largest_error;
use detcon_tests::models;
use detcon_tests::service::{self, Service};

use super::program::{batches, embeddings, summary, texts};
use super::sets::{self, Named};

/// Two answers of one program on one machine may differ by the order of sums alone.
const CLOSE: f32 = 1e-5;

/// The server's embeddings of images, by name.
async fn served(images: &[Named]) -> BTreeMap<String, Vec<f32>> {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let service = Service::start(store.path(), &[]).await;
    let mut served = BTreeMap::new();
    for (name, bytes) in images {
        let request = service::client().post(service.url("/v1/embeddings"));
        let request = request.header("content-type", "application/octet-stream");
        let answer = request.body(bytes.clone()).send().await.unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        let vector = answer["data"][0]["embedding"].clone();
        served.insert(name.clone(), serde_json::from_value(vector).unwrap());
    }
    service.stop().await;
    served
}

fn assert_same(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) {
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    for (name, vector) in found {
        let error = largest_error(vector, &expected[name]);
        assert!(error <= CLOSE, "{name}: {error:e}");
    }
}

/// Embeddings of an input by the names of its images, whatever stands before them.
fn extracted(input: &str, by: &str, flags: &[&str]) -> BTreeMap<String, Vec<f32>> {
    let output = tempfile::tempdir().unwrap();
    summary("embeddings", input, output.path(), flags);
    let found = embeddings(output.path(), by);
    let named = found.into_iter().map(|(path, vector)| {
        let name = path.rsplit('/').next().unwrap().to_owned();
        (name, vector)
    });
    named.collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_every_form_have_the_servers_embeddings() {
    let images = sets::images();
    let expected = served(&images).await;
    let same = |found| assert_same(&found, &expected);
    let folder = sets::folder(&images);
    let at = |name: &str| folder.path().join(name);
    same(extracted(text(folder.path()), "path", &[]));
    same(extracted(
        &format!("{}/**/*", text(folder.path())),
        "path",
        &["--parts", "3"],
    ));

    let names: Vec<_> = images.iter().map(|(name, _)| name.as_str()).collect();
    fs::write(at("list.txt"), names.join("\n")).unwrap();
    same(extracted(text(&at("list.txt")), "path", &[]));
    let rows = names.iter().map(|name| format!("x,{name},\"a, b\"\n"));
    fs::write(
        at("table.csv"),
        format!("n,file,label\n{}", rows.collect::<String>()),
    )
    .unwrap();
    same(extracted(
        text(&at("table.csv")),
        "path",
        &["--column", "file", "--id-column", "file"],
    ));

    let others = tempfile::tempdir().unwrap();
    let at = |name: &str| others.path().join(name);
    let [paths, bytes, labels] = sets::columns(&images);
    let table = [("path", paths.clone()), ("image", bytes), ("label", labels)];
    fs::write(at("bytes.parquet"), sets::parquet(table.to_vec())).unwrap();
    same(extracted(
        text(&at("bytes.parquet")),
        "id",
        &["--id-column", "path", "--parts", "4"],
    ));
    let both = vec![("image", sets::structure(&images))];
    fs::write(at("both.parquet"), sets::parquet(both)).unwrap();
    same(extracted(text(&at("both.parquet")), "path", &[]));
    fs::write(
        folder.path().join("paths.parquet"),
        sets::parquet(vec![("path", paths)]),
    )
    .unwrap();
    same(extracted(
        text(&folder.path().join("paths.parquet")),
        "path",
        &[],
    ));
    for (shard, images) in images.chunks(2).enumerate() {
        fs::write(at(&format!("{shard}.tar")), sets::tar(images)).unwrap();
    }
    same(extracted(
        &format!("{}/*.tar", text(others.path())),
        "path",
        &[],
    ));
}

/// Stored pixels of a turned photograph are not those that are shown.
#[tokio::test(flavor = "multi_thread")]
async fn records_hold_images_with_their_classes_and_pixels_may_be_those_that_are_stored() {
    let images: Vec<_> = sets::images()
        .into_iter()
        .filter(|(name, _)| name.contains("exif"))
        .collect();
    assert!(!images.is_empty());
    let folder = tempfile::tempdir().unwrap();
    sets::records(&images, &folder.path().join("train-00000-of-00001"));
    let expected = served(&images).await;
    let embedding = |flags: &[&str]| {
        let output = tempfile::tempdir().unwrap();
        summary("embeddings", text(folder.path()), output.path(), flags);
        assert_eq!(texts(&batches(output.path()), "label"), ["class"]);
        embeddings(output.path(), "id")
            .into_values()
            .next()
            .unwrap()
    };
    let expected = expected.values().next().unwrap();
    assert!(largest_error(&embedding(&[]), expected) <= CLOSE);
    assert!(largest_error(&embedding(&["--pixels", "stored"]), expected) > CLOSE);
}

#[test]
fn members_that_share_a_key_are_one_image_with_its_class_and_text() {
    let [(_, first), (_, second)] = <[_; 2]>::try_from(sets::pictures(2)).unwrap();
    let named = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let members = [
        named("a/one.cls", b"3\n"),
        named("a/one.PNG", &first),
        named("a/one.json", b"{\"caption\": \"one\"}"),
        named("notes.txt", b"of no image"),
        named("__meta__/x.png", &first),
        named("two.json", b"{}"),
        named("two.png", &second),
    ];
    let folder = sets::folder(&[("shard.tar".to_owned(), sets::tar(&members))]);
    let output = tempfile::tempdir().unwrap();
    summary("embeddings", text(folder.path()), output.path(), &[]);
    let rows = batches(output.path());
    assert_eq!(texts(&rows, "id"), ["a/one", "two"]);
    assert_eq!(
        texts(&rows, "path"),
        ["shard.tar/a/one.PNG", "shard.tar/two.png"]
    );
    assert_eq!(texts(&rows, "label"), ["3", ""]);
    assert_eq!(texts(&rows, "json"), ["{\"caption\": \"one\"}", "{}"]);
}

#[test]
fn folders_are_classes_and_lists_may_name_some() {
    let [(_, one), (_, two)] = <[_; 2]>::try_from(sets::pictures(2)).unwrap();
    let folder = sets::folder(&[
        ("cats/a/1.png".to_owned(), one),
        ("2.png".to_owned(), two),
        (
            "list.txt".to_owned(),
            b"cats/a/1.png\tcat\n\n2.png\n".to_vec(),
        ),
    ]);
    let labels = |input: &Path| {
        let output = tempfile::tempdir().unwrap();
        summary("embeddings", text(input), output.path(), &[]);
        let rows = batches(output.path());
        texts(&rows, "id")
            .into_iter()
            .zip(texts(&rows, "label"))
            .collect::<Vec<_>>()
    };
    let pair = |id: &str, label: &str| (id.to_owned(), label.to_owned());
    assert_eq!(
        labels(folder.path()),
        [pair("2.png", ""), pair("cats/a/1.png", "cats")]
    );
    let listed = labels(&folder.path().join("list.txt"));
    assert_eq!(listed, [pair("cats/a/1.png", "cat"), pair("2.png", "")]);
}
