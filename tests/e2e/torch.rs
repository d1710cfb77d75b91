//! Networks that were trained in PyTorch: imported as what they are, and computing what torchvision computes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use detcon_converter::demo::demo;
use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_converter::verify::verify;
use detcon_core::arch::{Normalization, Padding, ResNetSpec};
use detcon_core::checkpoint::{Checkpoint, Tensor};
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_core::reference;
use detcon_inference::{Batch, Compute, Device, Output};
use detcon_tests::golden::{self, EncoderCase};
use detcon_tests::models;
use detcon_tests::service::{self, Service};
use reqwest::multipart::{Form, Part};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

/// Largest difference allowed, as a share of the output's largest magnitude.
const TOLERANCE: f32 = 1e-5;

fn compute() -> Compute {
    Compute {
        device: Device::Cpu,
        threads: std::num::NonZeroUsize::new(2).unwrap(),
        spinning: std::time::Duration::ZERO,
    }
}

fn batch(case: &EncoderCase) -> Batch {
    Batch {
        shape: case.images.shape.clone().try_into().unwrap(),
        images: case.images.values.clone(),
    }
}

#[test]
fn the_graph_of_every_network_equals_torchvision_at_every_size() {
    for network in golden::torch_networks() {
        let model = models::imported_from_torch(&network.arch, network.seed);
        let spec = model.manifest().spec;
        assert_eq!(spec.padding(), Padding::Symmetric);
        assert_eq!(spec.normalization(), Normalization::IMAGENET);
        let mut engine = service::engine(&model, compute());
        for case in &network.cases {
            for (name, expected) in &case.outputs {
                let output = match name.as_str() {
                    "embedding" => Output::Embedding,
                    stage => Output::Features(stage.parse().unwrap()),
                };
                let found = engine.run(&batch(case), output).unwrap();
                let whole = |image: &Tensor| *image.shape() == expected.shape[1..];
                assert!(found.iter().all(whole), "{name}");
                let found: Vec<f32> = found.into_iter().flat_map(Tensor::into_values).collect();
                let error = golden::largest_error(&found, &expected.values);
                println!("{spec} {:?} {name}: {error:.1e}", case.images.shape);
                assert!(
                    error <= TOLERANCE,
                    "{spec} {:?} {name}: {error:e}",
                    case.images.shape
                );
            }
        }
    }
}

/// Largest batch that the reference is asked for here: it is slow.
const REFERENCE_BYTES: usize = 3 * 160 * 160;

#[test]
fn the_reference_forward_pass_equals_torchvision() {
    for network in golden::torch_networks() {
        let model = models::imported_from_torch(&network.arch, network.seed);
        let bytes = fs::read(model.path().join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::from_bytes(model.manifest().spec, &bytes).unwrap();
        let small = |case: &&EncoderCase| case.images.values.len() <= REFERENCE_BYTES;
        for case in network.cases.iter().filter(small) {
            let Batch { shape, images } = batch(case);
            let features = reference::forward(&checkpoint, &images, shape);
            let expected = &case.outputs["embedding"].values;
            let error = golden::largest_error(features.embedding.values(), expected);
            assert!(error <= TOLERANCE, "{} {shape:?}: {error:e}", network.arch);
        }
    }
}

/// Every part of a spec, alone and together: the graph against the reference, which share no more than the table.
#[test]
fn the_graph_of_every_kind_of_network_equals_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in [
        "tiny+symmetric",
        "tinyv2+symmetric+caffe",
        "tiny+caffe",
        "tiny+os8",
        "tiny+symmetric+os16+eps=0.001+none",
        "resnet18+symmetric+identity+os8",
        "resnet18v2+identity",
        "resnet50+symmetric+stride1x1+os16",
        "wide_resnet50_2+os8+mean=0.5,0.4,0.3:std=0.2,0.3,0.4:divisor=255:channels=bgr",
    ]
    .into_iter()
    .enumerate()
    {
        let place = folder.path().join(format!("m{number}"));
        demo(&place, Existing::Keep, name.parse().unwrap(), 1).unwrap();
        let report = verify(&place, &service::library()).unwrap();
        println!("{name}: {}", report.output);
        assert!(report.passed(), "{name}: {report}");
        assert_eq!(report.network, name);
    }
}

/// A golden case's first image as a PNG file.
fn png(case: &EncoderCase) -> Vec<u8> {
    let [_, height, width, _] = batch(case).shape;
    let side = |it: usize| u32::try_from(it).unwrap();
    let mut bytes = Vec::new();
    let pixels = &case.images.values[..height * width * 3];
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let color = image::ExtendedColorType::Rgb8;
    image::ImageEncoder::write_image(encoder, pixels, side(width), side(height), color).unwrap();
    bytes
}

/// The embedding of a case by way of `/v2`, and that of the one region which is the whole image.
async fn served(service: &Service, model: &str, case: &EncoderCase) -> [Vec<f32>; 2] {
    let client = service::client();
    let [_, height, width, _] = batch(case).shape;
    let pixels = &case.images.values[..height * width * 3];
    let input = json!({"name": "pixels", "shape": [1, height, width, 3], "datatype": "UINT8", "data": pixels});
    let request = client.post(service.url(&format!("/v2/models/{model}/infer")));
    let response = request
        .json(&json!({"inputs": [input]}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    let form = Form::new()
        .part("image", Part::bytes(png(case)))
        .text("model", model.to_owned())
        .text("view", "full")
        .text("size", height.min(width).to_string())
        .text("boxes", format!("[[0, 0, {width}, {height}]]"));
    let response = client
        .post(service.url("/v1/regions"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let regions: Value = serde_json::from_str(&text).unwrap();
    let vectors = [
        &answer["outputs"][0]["data"],
        &regions["regions"][0]["embedding"],
    ];
    vectors.map(|it| serde_json::from_value(it.clone()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_and_regions_over_http_are_torchvisions() {
    for network in golden::torch_networks() {
        let model = models::imported_from_torch(&network.arch, network.seed);
        let store = service::store(&[&model]);
        let service = Service::start(store.path(), &[]).await;
        let name = model.manifest().name.to_string();
        for case in network
            .cases
            .iter()
            .filter(|case| case.images.shape[0] == 1)
        {
            let expected = &case.outputs["embedding"].values;
            let vectors = served(&service, &name, case).await;
            for (what, found) in ["embedding", "region"].iter().zip(vectors) {
                let error = golden::largest_error(&found, expected);
                println!("{name} {:?} {what}: {error:.1e}", case.images.shape);
                assert!(error <= TOLERANCE, "{name} {what}: {error:e}");
            }
        }
        let listed: Value = service::client()
            .get(service.url("/v1/models"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let listed = &listed["data"][0];
        assert_eq!(
            (
                &listed["padding"],
                &listed["normalization"],
                &listed["license"]
            ),
            (&json!("symmetric"), &json!("imagenet"), &json!("unknown"))
        );
        service.stop().await;
    }
}

#[test]
fn int8_of_a_symmetric_network_is_as_near_as_of_any_other() {
    let network = golden::torch_networks().into_iter().next().unwrap();
    let model = models::imported_from_torch(&network.arch, network.seed);
    let store = tempfile::tempdir_in(golden::workspace().join("target")).unwrap();
    let place = models::link_into(store.path(), &model);
    let quantized = models::quantized(&place, true);
    let quality = &quantized.manifest().quality[&Precision::Int8];
    println!("{}: {quality:?}", model.manifest().spec);
    assert!(quality.centred_cosine.worst > 0.99, "{quality:?}");
}

/// Tensors of zeros by name and shape, as a state dict.
fn state_dict(
    folder: &Path,
    name: &str,
    tensors: &BTreeMap<String, Vec<usize>>,
) -> std::path::PathBuf {
    let zeros = vec![
        0;
        4 * tensors
            .values()
            .map(|it| it.iter().product())
            .max()
            .unwrap_or(0)
    ];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        let view = TensorView::new(Dtype::F32, shape.clone(), &zeros[..bytes]).unwrap();
        (name.clone(), view)
    });
    let file = folder.join(name);
    fs::write(&file, serialize(views, None).unwrap()).unwrap();
    file
}

fn shapes(name: &str) -> BTreeMap<String, Vec<usize>> {
    let spec: ResNetSpec = name.parse().unwrap();
    let params = spec.params().into_iter();
    params.map(|param| (param.name, param.shape)).collect()
}

fn refused(file: &Path) -> String {
    let place = file.with_file_name("refused");
    let error = import(
        &Location::File(file.to_owned()),
        &place,
        &ImportOptions::default(),
    );
    let error = error.unwrap_err().to_string();
    assert!(!place.exists() && !error.contains('\n'), "{error}");
    error
}

type Change = fn(&mut BTreeMap<String, Vec<usize>>);

#[test]
fn look_alikes_are_refused_by_the_tensor_that_gives_them_away() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&str, &str, Change); 8] = [
        ("deep stem", "conv1.0.weight", |it| {
            it.remove("conv1.weight");
            it.insert("conv1.0.weight".to_owned(), vec![32, 3, 3, 3]);
        }),
        ("ResNeXt", "layer1.0.conv2.weight", |it| {
            it.insert("layer1.0.conv2.weight".to_owned(), vec![64, 2, 3, 3]);
        }),
        ("(SE)", "layer1.0.se.fc1.weight", |it| {
            it.insert("layer1.0.se.fc1.weight".to_owned(), vec![16, 256, 1, 1]);
        }),
        ("(ECA)", "layer1.0.se.conv.weight", |it| {
            it.insert("layer1.0.se.conv.weight".to_owned(), vec![1, 1, 3]);
        }),
        ("pool before", "layer2.0.downsample.1.weight", |it| {
            it.insert(
                "layer2.0.downsample.1.weight".to_owned(),
                vec![512, 256, 1, 1],
            );
        }),
        ("anti-aliased", "layer2.0.aa.filt", |it| {
            it.insert("layer2.0.aa.filt".to_owned(), vec![128, 1, 3, 3]);
        }),
        ("GroupNorm", "layer1.0.bn1.weight", |it| {
            it.retain(|name, _| !name.contains("running_"));
        }),
        ("RegNet", "s1.b1.conv1.conv.weight", |it| {
            it.clear();
            it.insert("stem.conv.weight".to_owned(), vec![32, 3, 3, 3]);
            it.insert("s1.b1.conv1.conv.weight".to_owned(), vec![24, 32, 1, 1]);
        }),
    ];
    for (number, (what, tensor, change)) in rows.into_iter().enumerate() {
        let mut tensors = shapes("resnet50");
        change(&mut tensors);
        let error = refused(&state_dict(folder.path(), &format!("{number}"), &tensors));
        assert!(
            error.contains(what) && error.contains(tensor),
            "{what}: {error}"
        );
    }
}

#[test]
fn a_configuration_beside_a_state_dict_tells_what_its_names_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let file = state_dict(folder.path(), "model.safetensors", &shapes("resnet50"));
    let config =
        |text: Value| fs::write(folder.path().join("config.json"), text.to_string()).unwrap();
    for name in ["resnetaa50", "resnetblur50", "resnet50_gn"] {
        config(json!({"architecture": name}));
        let error = refused(&file);
        assert!(error.contains(name) && error.contains("--arch"), "{error}");
    }
    let cfg = json!({"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]});
    config(
        json!({"architecture": "resnet50", "pretrained_cfg": cfg, "model_args": {"output_stride": 16}}),
    );
    let place = folder.path().join("model");
    let imported = import(&Location::File(file), &place, &ImportOptions::default()).unwrap();
    let expected =
        "resnet50+symmetric+os16+mean=0.5,0.5,0.5:std=0.25,0.25,0.25:divisor=255:channels=rgb";
    assert_eq!(imported.spec.to_string(), expected);
}

/// As directories of the first version were.
#[test]
fn an_older_directory_is_read_as_what_it_was_and_a_newer_one_is_refused() {
    let model = models::imported("tiny", 0);
    let store = tempfile::tempdir_in(golden::workspace().join("target")).unwrap();
    let place = models::link_into(store.path(), &model);
    let manifest = place.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let write = |value: &Value| {
        fs::remove_file(&manifest).unwrap(); // a link
        fs::write(&manifest, value.to_string()).unwrap();
    };
    let mut older: Value = serde_json::from_str(&text).unwrap();
    older["format_version"] = json!(1);
    older["license"] = Value::Null;
    older["spec"] = json!({"arch": "tiny", "width": 1, "pre_activation": false});
    write(&older);
    let opened = ModelDirectory::open(&place).unwrap();
    assert_eq!(opened.manifest().spec, model.manifest().spec);
    assert_eq!(opened.manifest().license, None);
    let report = verify(&place, &service::library()).unwrap();
    assert!(report.passed(), "{report}");
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    newer["format_version"] = json!(3);
    newer["spec"]["stem"] = json!("deep");
    write(&newer);
    let error = ModelDirectory::open(&place).unwrap_err().to_string();
    assert!(
        error.contains("format version 3") && error.contains("newer release"),
        "{error}"
    );
}
