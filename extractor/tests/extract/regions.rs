//! Regions and features have the server's numbers, wherever regions come from.

use std::fs;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int32Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_core::regions::Mask;
use detcon_core::regions::coco::CocoRle;
use detcon_tests::golden::{self, largest_error};
use detcon_tests::models;
use detcon_tests::service::{self, Service};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::program::{batches, integers, summary, texts, vectors};
use super::sets;

/// Two answers of one program on one machine may differ by the order of sums alone.
const CLOSE: f32 = 1e-5;

struct Server {
    service: Service,
    _store: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let store = service::store(&[&models::imported("tiny", 0)]);
        let service = Service::start(store.path(), &[]).await;
        Self {
            service,
            _store: store,
        }
    }

    async fn post(&self, path: &str, form: Form) -> Value {
        let request = service::client().post(self.service.url(path));
        let answer = request.header("accept", "application/json").multipart(form);
        let answer = answer.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The rows of an image, as the server says them.
fn rows(output: &Path, path: &str) -> Vec<Value> {
    let batches = batches(output);
    let (paths, ids) = (texts(&batches, "path"), integers(&batches, "region"));
    let (areas, vectors) = (integers(&batches, "area"), vectors(&batches, "embedding"));
    let small = |name: &str| -> Vec<i32> {
        let columns = batches
            .iter()
            .map(|batch| batch.column_by_name(name).unwrap());
        columns
            .flat_map(|it| it.as_primitive::<Int32Type>().values().to_vec())
            .collect()
    };
    let cells = small("cells");
    let boxes: Vec<Vec<i32>> = batches
        .iter()
        .flat_map(|batch| {
            let column = batch
                .column_by_name("box")
                .unwrap()
                .as_fixed_size_list()
                .clone();
            let row = move |row| {
                column
                    .value(row)
                    .as_primitive::<Int32Type>()
                    .values()
                    .to_vec()
            };
            (0..batch.num_rows()).map(row).collect::<Vec<_>>()
        })
        .collect();
    let row = |at: usize| json!({"id": ids[at], "area": areas[at], "cells": cells[at], "box": boxes[at], "embedding": vectors[at]});
    let of_image = (0..paths.len()).filter(|&at| paths[at].ends_with(path));
    of_image.map(row).collect()
}

fn assert_same(found: &[Value], served: &Value, what: &str) {
    let served = served["regions"].as_array().unwrap();
    assert_eq!(found.len(), served.len(), "{what}");
    for (found, served) in found.iter().zip(served) {
        for key in ["id", "area", "cells", "box"] {
            assert_eq!(found[key], served[key], "{what}: {key}");
        }
        let vector =
            |it: &Value| -> Vec<f32> { serde_json::from_value(it["embedding"].clone()).unwrap() };
        let error = largest_error(&vector(found), &vector(served));
        assert!(error <= CLOSE, "{what}: {error:e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_by_every_method_are_the_servers() {
    let http = Server::start().await;
    let images = sets::images();
    let folder = sets::folder(&images);
    let input = folder.path().to_str().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (
            &["--method", "grid", "--rows", "3", "--columns", "4"],
            "method=grid&rows=3&columns=4",
        ),
        (
            &["--scale", "300", "--min-size", "400"],
            "scale=300&min_size=400",
        ),
        (
            &[
                "--method", "kmeans", "--k", "5", "--seed", "3", "--view", "full", "--size", "160",
            ],
            "method=kmeans&k=5&seed=3&view=full&size=160",
        ),
        (
            &[
                "--method",
                "kmeans",
                "--k",
                "3",
                "--stage",
                "c4",
                "--space",
                "projection",
            ],
            "method=kmeans&k=3&stage=c4&space=projection",
        ),
    ];
    for (flags, query) in cases {
        let output = tempfile::tempdir().unwrap();
        let done = summary("regions", input, output.path(), flags);
        assert_eq!(done["images"], images.len());
        for (name, bytes) in &images {
            let form = Form::new().part("image", Part::bytes(bytes.clone()));
            let served = http.post(&format!("/v1/regions?{query}"), form).await;
            assert_same(
                &rows(output.path(), name),
                &served,
                &format!("{query} {name}"),
            );
        }
    }
    http.service.stop().await;
}

/// Label maps beside images, in tar shards and in TFRecord shards are the parts `mask` of requests.
#[tokio::test(flavor = "multi_thread")]
async fn given_masks_are_the_servers_wherever_they_lie() {
    let http = Server::start().await;
    let mut images = sets::images();
    images.retain(|(name, _)| !name.contains("exif"));
    let folder = sets::folder(&images);
    let maps = tempfile::tempdir().unwrap();
    let shards = tempfile::tempdir().unwrap();
    let mut members = Vec::new();
    for (name, bytes) in &images {
        let key = name.split('.').next().unwrap();
        let png = sets::mask(bytes).to_png();
        fs::write(maps.path().join(format!("{key}.png")), &png).unwrap();
        members.extend([
            (name.clone(), bytes.clone()),
            (format!("{key}.seg.png"), png),
        ]);
    }
    fs::write(shards.path().join("a.tar"), sets::tar(&members)).unwrap();
    let records = tempfile::tempdir().unwrap();
    sets::records(&images, &records.path().join("train-00000-of-00001"));
    let outputs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    summary(
        "regions",
        &text(folder.path()),
        outputs[0].path(),
        &["--label-maps", &text(maps.path())],
    );
    summary(
        "regions",
        &text(shards.path()),
        outputs[1].path(),
        &["--shard-masks"],
    );
    summary(
        "regions",
        &text(records.path()),
        outputs[2].path(),
        &["--shard-masks"],
    );
    let all = rows(outputs[2].path(), "");
    let mut of_records = all.as_slice();
    for (name, bytes) in &images {
        let form = Form::new()
            .part("image", Part::bytes(bytes.clone()))
            .part("mask", Part::bytes(sets::mask(bytes).to_png()));
        let served = http.post("/v1/regions", form).await;
        for output in &outputs[..2] {
            assert_same(&rows(output.path(), name), &served, name);
        }
        let (first, rest) = of_records.split_at(served["regions"].as_array().unwrap().len());
        assert_same(first, &served, name);
        of_records = rest;
    }
    http.service.stop().await;
}

/// Overlapping objects each have a vector, with their category, their id and their pixels.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_coco_are_the_servers_with_their_names() {
    let http = Server::start().await;
    let path = golden::files("images", &["jpg"]).remove(0);
    let bytes = fs::read(&path).unwrap();
    let map = sets::mask(&bytes);
    let (height, width) = (map.height(), map.width());
    let [w, h] = [f64::from(width), f64::from(height)];
    let polygon = |x: f64, y: f64| {
        vec![
            w * x,
            h * y,
            w * x,
            h * 0.9,
            w * 0.9,
            h * 0.9,
            w * 0.9,
            h * y,
        ]
    };
    let polygons = [polygon(0.1, 0.2), polygon(0.4, 0.3)];
    let annotations = json!({
        "images": [
            {"id": 5, "file_name": "photo.jpg", "height": height, "width": width},
            {"id": 6, "file_name": "none.jpg", "height": height, "width": width},
        ],
        "annotations": [
            {"id": 901, "image_id": 5, "category_id": 3, "segmentation": [polygons[0]], "iscrowd": 0},
            {"id": 77, "image_id": 5, "category_id": 4, "segmentation": [polygons[1]], "iscrowd": 0},
        ],
        "categories": [{"id": 3, "name": "cat"}],
    });
    let folder = sets::folder(&[
        ("photo.jpg".to_owned(), bytes.clone()),
        ("none.jpg".to_owned(), bytes.clone()),
    ]);
    let file = folder.path().join("annotations.json");
    fs::write(&file, annotations.to_string()).unwrap();
    let output = tempfile::tempdir().unwrap();
    let flags = [
        "--annotations",
        file.to_str().unwrap(),
        "--rle",
        "--space",
        "projection",
    ];
    let done = summary(
        "regions",
        folder.path().to_str().unwrap(),
        output.path(),
        &flags,
    );
    assert_eq!((&done["images"], &done["rows"]), (&2.into(), &2.into()));
    let batches = batches(output.path());
    assert_eq!(integers(&batches, "region"), [901, 77]);
    assert_eq!(texts(&batches, "category"), ["cat", "4"]);
    let runs = texts(&batches, "rle").into_iter();
    let runs: Vec<Value> = runs
        .map(|counts| json!({"size": [height, width], "counts": counts}))
        .collect();
    for runs in &runs {
        let rle: CocoRle = serde_json::from_value(runs.clone()).unwrap();
        assert!(Mask::try_from(&rle).unwrap().area() > 0);
    }
    let form = Form::new()
        .part("image", Part::bytes(bytes))
        .text("rle", Value::from(runs).to_string())
        .text("space", "projection");
    let mut served = http.post("/v1/regions", form).await;
    for (region, id) in served["regions"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip([901, 77])
    {
        region["id"] = id.into();
    }
    assert_same(&rows(output.path(), "photo.jpg"), &served, "objects");
    http.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_of_any_shape_are_the_servers() {
    let http = Server::start().await;
    let images = sets::images();
    let folder = sets::folder(&images);
    let output = tempfile::tempdir().unwrap();
    let flags = [
        "--stage", "c3", "--view", "full", "--size", "96", "--dtype", "float32",
    ];
    summary(
        "features",
        folder.path().to_str().unwrap(),
        output.path(),
        &flags,
    );
    let batches = batches(output.path());
    let mut found = batches.iter().flat_map(|batch| {
        let shapes = batch
            .column_by_name("shape")
            .unwrap()
            .as_fixed_size_list()
            .clone();
        let features = batch
            .column_by_name("features")
            .unwrap()
            .as_list::<i32>()
            .clone();
        (0..batch.num_rows()).map(move |row| {
            let shape = shapes
                .value(row)
                .as_primitive::<Int32Type>()
                .values()
                .to_vec();
            (
                shape,
                features
                    .value(row)
                    .as_primitive::<Float32Type>()
                    .values()
                    .to_vec(),
            )
        })
    });
    for (name, bytes) in &images {
        let (shape, values) = found.next().unwrap();
        let form = Form::new().part("image", Part::bytes(bytes.clone()));
        let served = http
            .post("/v1/features?stage=c3&view=full&size=96", form)
            .await;
        assert_eq!(served["shape"], json!(shape), "{name}");
        let data = STANDARD.decode(served["data"].as_str().unwrap()).unwrap();
        let (chunks, _) = data.as_chunks();
        let expected: Vec<f32> = chunks
            .iter()
            .map(|chunk| f32::from_le_bytes(*chunk))
            .collect();
        assert!(largest_error(&values, &expected) <= CLOSE, "{name}");
    }
    drop(found);
    http.service.stop().await;
    let half = tempfile::tempdir().unwrap();
    summary(
        "features",
        folder.path().to_str().unwrap(),
        half.path(),
        &["--format", "npy"],
    );
    let files = super::program::files(half.path());
    let header = String::from_utf8_lossy(&files["embeddings_00000.npy"][..192]).into_owned();
    assert!(header.contains(&format!(
        "'<f2', 'fortran_order': False, 'shape': ({}, 8, 7, 7)",
        images.len()
    )));
}
