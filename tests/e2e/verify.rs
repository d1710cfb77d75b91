//! `detcon-convert verify`: whole models pass, and a model that was tampered with is told by its layer.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_converter::demo::demo;
use detcon_converter::verify::{LedgerError, VerifyError, verify};
use detcon_core::digest::sha256;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, ModelError};
use detcon_tests::{golden, models};
use serde_json::Value;

fn library() -> PathBuf {
    std::env::var_os("DETCON_ONNXRUNTIME").map_or_else(
        || golden::workspace().join(".deps/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    )
}

/// A copy of a model in which `name` holds what `edit` makes of it, with the manifest's digests to match.
fn edited(
    store: &Path,
    model: &ModelDirectory,
    name: &str,
    edit: impl FnOnce(&mut Vec<u8>),
) -> PathBuf {
    let place = models::link_into(store, model);
    let mut bytes = fs::read(place.join(name)).unwrap();
    edit(&mut bytes);
    let path = place.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["files"][name] = serde_json::json!({"bytes": bytes.len(), "sha256": sha256(&bytes)});
    if name == "ledger.json" {
        manifest["ledger_sha256"] = sha256(&bytes).into();
    }
    for (file, bytes) in [
        (place.join(name), bytes),
        (path, serde_json::to_vec(&manifest).unwrap()),
    ] {
        fs::remove_file(&file).unwrap(); // a link to the model that other tests use
        fs::write(file, bytes).unwrap();
    }
    place
}

fn store() -> tempfile::TempDir {
    tempfile::tempdir_in(golden::workspace().join("target")).unwrap()
}

/// Multiplies an initializer's values in place. In the file its name (field 8) stands before its bytes (field 9).
fn scale(onnx: &mut [u8], name: &str, factor: f32) {
    let mut start = vec![0x42, u8::try_from(name.len()).unwrap()];
    start.extend(name.as_bytes());
    start.push(0x4a);
    let mut at = onnx
        .windows(start.len())
        .position(|window| window == start)
        .unwrap()
        + start.len();
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = onnx[at];
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    for value in onnx[at..at + length].as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value) * factor).to_le_bytes();
    }
}

#[test]
fn every_imported_network_is_verified() {
    for encoder in golden::encoders() {
        let model = models::imported(&encoder.arch, encoder.seed);
        let report = verify(model.path(), &library()).unwrap();
        assert!(report.passed(), "{report}");
        assert!(report.output.worst > 0.0 && report.output.mean <= report.output.worst);
        assert!(report.ledger.is_some());
    }
}

#[test]
fn an_untrained_model_has_no_ledger_and_is_verified() {
    let store = store();
    for arch in ["tiny", "resnet18v2"] {
        let place = store.path().join(arch);
        demo(&place, Existing::Keep, arch.parse().unwrap(), 0).unwrap();
        let report = verify(&place, &library()).unwrap();
        assert!(report.passed() && report.ledger.is_none(), "{report}");
    }
}

#[test]
fn a_scaled_tensor_of_the_graph_is_named_though_the_digests_fit() {
    let model = models::imported("resnet50v2", 0);
    for (tensor, layer) in [
        ("conv1.weight", "conv1"),
        ("layer1.0.bn1.running_var", "layer1.0.bn1"),
        ("layer2.3.conv2.bias", "layer2.3.conv2"),
        ("layer3.0.downsample.0.weight", "layer3.0.downsample.0"),
        ("norm.bias", "norm"),
        ("input.factor", "input"),
    ] {
        let store = store();
        let place = edited(store.path(), &model, "model.onnx", |onnx| {
            scale(onnx, tensor, 1.01);
        });
        let report = verify(&place, &library()).unwrap();
        let layers: Vec<_> = report.faults.iter().map(|fault| &fault.layer).collect();
        assert_eq!(layers, [layer], "{report}");
    }
}

#[test]
fn a_graph_with_right_weights_and_wrong_padding_is_told_by_its_stage() {
    let model = models::imported("tiny", 0);
    let store = store();
    let place = edited(store.path(), &model, "model.onnx", |onnx| {
        let (from, to) = (b"SAME_UPPER", b"SAME_LOWER");
        let places: Vec<_> = onnx
            .windows(from.len())
            .enumerate()
            .filter_map(|(at, window)| (window == from).then_some(at))
            .collect();
        // The stem and its pool come first; the third is in layer2.
        onnx[places[2]..][..to.len()].copy_from_slice(to);
    });
    let report = verify(&place, &library()).unwrap();
    assert_eq!(report.faults.len(), 1, "{report}");
    assert_eq!(report.faults[0].layer, "layer2", "{report}");
}

#[test]
fn a_ledger_that_does_not_account_for_a_weight_is_refused() {
    let model = models::imported("tiny", 0);
    let change = |edit: &dyn Fn(&mut Value)| {
        let store = store();
        let place = edited(store.path(), &model, "ledger.json", |bytes| {
            let mut ledger = serde_json::from_slice(bytes).unwrap();
            edit(&mut ledger);
            *bytes = serde_json::to_vec(&ledger).unwrap();
        });
        match verify(&place, &library()) {
            Err(VerifyError::Ledger(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let names = |error: LedgerError| match error {
        LedgerError::Incomplete { names } | LedgerError::Digests { names } => names,
        other => panic!("{other}"),
    };
    let missing = change(&|ledger| drop(ledger["backbone"].as_array_mut().unwrap().remove(0)));
    assert_eq!(names(missing), ["conv1.weight"]);
    let twice = change(&|ledger| {
        let row = ledger["backbone"][3].clone();
        ledger["backbone"].as_array_mut().unwrap().push(row);
    });
    assert_eq!(names(twice), ["bn1.running_mean"]);
    let digest = change(&|ledger| ledger["backbone"][1]["sha256"] = "0".repeat(64).into());
    assert_eq!(names(digest), ["bn1.weight"]);
    let spec = change(&|ledger| ledger["spec"]["arch"] = "resnet18".into());
    assert!(matches!(spec, LedgerError::Contradiction { .. }), "{spec}");
}

#[test]
fn a_changed_file_is_told() {
    let model = models::imported("tiny", 0);
    let store = store();
    let place = models::link_into(store.path(), &model);
    fs::remove_file(place.join("model.onnx")).unwrap();
    let error = verify(&place, &library()).unwrap_err();
    assert!(
        matches!(&error, VerifyError::Model(ModelError::Damaged { name, .. }) if name == "model.onnx"),
        "{error}"
    );
}
