//! Checkpoints in other forms than the published one: what is missing or wrong is named, and what is only wrapped
//! in something is imported to the same weights.

use std::path::{Path, PathBuf};
use std::process::Command;

use detcon_converter::convention::Stated;
use detcon_converter::haiku::Network;
use detcon_converter::import::{ImportError, ImportOptions, Imported, import};
use detcon_converter::location::Location;
use detcon_converter::pickle::Limits;
use detcon_converter::source;
use detcon_converter::verify::verify;
use detcon_core::arch::{Normalization, Padding};
use detcon_core::checkpoint::MovingAverages;
use detcon_core::model::ModelDirectory;
use detcon_tests::{golden, models};

fn variant(folder: &Path, kind: &str, weights: Option<&Path>) -> PathBuf {
    let file = folder.join(kind);
    let mut command = Command::new("python3");
    command
        .arg(golden::workspace().join("tests/python/make_variant.py"))
        .args(["--kind", kind, "--golden"])
        .arg(golden::directory())
        .arg("--out")
        .arg(&file)
        .env("PYTHONPATH", golden::workspace().join(".deps/python"));
    if let Some(weights) = weights {
        command.arg("--weights").arg(weights);
    }
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    file
}

fn import_as(
    file: &Path,
    name: &str,
    options: &ImportOptions,
) -> Result<(Imported, ModelDirectory), ImportError> {
    let place = file.with_file_name(name);
    let imported = import(&Location::File(file.to_owned()), &place, options)?;
    Ok((imported, ModelDirectory::open(&place).unwrap()))
}

fn digest(model: &ModelDirectory) -> String {
    model.manifest().files["model.safetensors"].sha256.clone()
}

fn refusal(kind: &str, options: &ImportOptions) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = variant(folder.path(), kind, None);
    let error = import_as(&file, "model", options).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn parameters_alone_are_refused_unless_fresh_moving_averages_are_asked_for() {
    for kind in ["params", "replicated_params"] {
        let error = refusal(kind, &ImportOptions::default());
        assert!(
            error.contains("moving averages") && error.contains("--fresh-moving-averages"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = variant(folder.path(), kind, None);
        let options = ImportOptions {
            averages: MovingAverages::Fresh,
            ..ImportOptions::default()
        };
        let (_, model) = import_as(&file, "model", &options).unwrap();
        let ledger = std::fs::read_to_string(model.path().join("ledger.json")).unwrap();
        assert!(
            ledger.contains("\"fresh\"") && ledger.contains("a fresh moving average of 1"),
            "{ledger}"
        );
        let library = golden::workspace().join(".deps/onnxruntime/libonnxruntime.so");
        let report = verify(model.path(), &library).unwrap();
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn replicated_arrays_are_imported_once_and_only_where_all_devices_agree() {
    let folder = tempfile::tempdir().unwrap();
    let file = variant(folder.path(), "replicated", None);
    let (_, model) = import_as(&file, "model", &ImportOptions::default()).unwrap();
    assert_eq!(digest(&model), digest(&models::imported("tiny", 0)));
    let error = refusal("differing", &ImportOptions::default());
    assert!(
        error.contains("tiny_res_net/~/initial_conv/w") && error.contains("all devices"),
        "{error}"
    );
}

#[test]
fn every_tensor_at_fault_is_named() {
    let options = ImportOptions::default();
    let holes = refusal("holes", &options);
    for part in [
        "2 parameters",
        "bn1.weight",
        "layer1.0.conv1.weight",
        "2 tensors",
        "conv_7/w",
        "decoder/linear/w",
    ] {
        assert!(holes.contains(part), "{part} is not in: {holes}");
    }
    let shape = refusal("shape", &options);
    for part in ["initial_conv/w", "[6, 7, 3, 64]"] {
        assert!(shape.contains(part), "{part} is not in: {shape}");
    }
    let negative = refusal("negative", &options);
    for part in [
        "block_group_1",
        "batchnorm_1",
        "var_ema/average",
        "channel 3",
        "-1",
    ] {
        assert!(negative.contains(part), "{part} is not in: {negative}");
    }
    for (kind, value) in [("nan", "NaN"), ("inf", "inf")] {
        let error = refusal(kind, &options);
        assert!(
            error.contains("initial_conv/w") && error.contains(value),
            "{error}"
        );
    }
}

#[test]
fn a_network_in_any_spelling_is_imported_to_the_same_weights_and_heads() {
    let tiny = models::imported("tiny", 0);
    let folder = tempfile::tempdir().unwrap();
    let spellings = ["prefixed", "fortran", "big_endian", "float64"].map(str::to_owned);
    for kind in spellings
        .into_iter()
        .chain((0..=5).map(|n| format!("protocol{n}")))
    {
        let file = variant(folder.path(), &kind, None);
        let place = format!("from-{kind}");
        let (_, model) = import_as(&file, &place, &ImportOptions::default()).unwrap();
        for name in ["model.safetensors", "heads.safetensors"] {
            let digest = |model: &ModelDirectory| model.manifest().files[name].sha256.clone();
            assert_eq!(digest(&model), digest(&tiny), "{name} of {kind}");
        }
    }
}

/// For state dicts of a converted DetCon, which cannot tell that it pads as SAME does.
fn converted() -> ImportOptions {
    ImportOptions {
        stated: Stated {
            padding: Some(Padding::Same),
            ..Stated::default()
        },
        ..ImportOptions::default()
    }
}

/// COCO is not normalised in the published code: the name says so, or the user, and the weights are asked.
#[test]
fn a_normalization_is_taken_by_name_and_held_to_the_stems_moving_mean() {
    let folder = tempfile::tempdir().unwrap();
    let normalized = |normalization| ImportOptions {
        stated: Stated {
            normalization: Some(normalization),
            ..Stated::default()
        },
        ..ImportOptions::default()
    };
    for (kind, seen, other) in [
        ("coco", Normalization::NONE, Normalization::IMAGENET),
        ("imagenet", Normalization::IMAGENET, Normalization::NONE),
    ] {
        let file = variant(folder.path(), kind, None);
        let named = file.with_file_name(format!("resnet50_detcon_b_{kind}_1k.npy"));
        std::fs::copy(&file, &named).unwrap();
        let place = format!("{kind}-model");
        let (imported, model) = import_as(&named, &place, &ImportOptions::default()).unwrap();
        assert_eq!(model.manifest().spec.normalization(), seen);
        println!("{kind}: {}", imported.remarks().join("; "));
        assert_eq!(imported.remarks().len(), 1, "{:?}", imported.remarks());
        let plain = file.with_file_name(format!(
            "other_{}.npy",
            if kind == "coco" { "imagenet" } else { "coco" }
        ));
        std::fs::copy(&file, &plain).unwrap();
        let refused = import_as(&plain, "none", &ImportOptions::default()).unwrap_err();
        let told = format!("--normalization {seen}");
        assert!(refused.to_string().contains(&told), "{refused}");
        println!("{kind}: {refused}");
        for stated in [seen, other] {
            let place = format!("{kind}-{stated}");
            let (_, model) = import_as(&plain, &place, &normalized(stated)).unwrap();
            assert_eq!(model.manifest().spec.normalization(), stated);
        }
    }
}

#[test]
fn torch_archives_are_imported_to_the_same_weights() {
    let tiny = models::imported("tiny", 0);
    let weights = tiny.path().join("model.safetensors");
    let folder = tempfile::tempdir().unwrap();
    for kind in ["archive", "wrapped", "transposed", "legacy"] {
        let file = variant(folder.path(), kind, Some(&weights));
        let (imported, model) = import_as(&file, &format!("from-{kind}"), &converted()).unwrap();
        assert_eq!(digest(&model), digest(&tiny), "{kind}");
        assert!(
            imported.layout.starts_with("PyTorch state dict"),
            "{}",
            imported.layout
        );
    }
    let (imported, model) = import_as(
        &weights_copy(folder.path(), &weights),
        "again",
        &converted(),
    )
    .unwrap();
    assert_eq!(
        (imported.layout.as_str(), digest(&model)),
        ("safetensors state dict", digest(&tiny))
    );
}

fn weights_copy(folder: &Path, weights: &Path) -> PathBuf {
    let copy = folder.join("weights.bin");
    std::fs::copy(weights, &copy).unwrap();
    copy
}

#[test]
fn of_two_networks_the_usual_one_is_taken_and_said_and_each_is_had_by_its_prefix() {
    let tiny = models::imported("tiny", 0);
    let folder = tempfile::tempdir().unwrap();
    let file = variant(
        folder.path(),
        "two",
        Some(&tiny.path().join("model.safetensors")),
    );
    let (imported, model) = import_as(&file, "usual", &converted()).unwrap();
    let taken = imported.taken.unwrap();
    assert!(
        taken.contains("taken was encoder_q, as MoCo does")
            && taken.contains("--strip-prefix encoder_k"),
        "{taken}"
    );
    assert_eq!(digest(&model), digest(&tiny));
    for (name, prefix) in [("with-dot", "encoder_k."), ("without", "encoder_q")] {
        let options = ImportOptions {
            strip_prefix: Some(prefix.to_owned()),
            ..converted()
        };
        let (imported, model) = import_as(&file, name, &options).unwrap();
        assert_eq!(
            (digest(&model), imported.set_aside),
            (digest(&tiny), imported.backbone)
        );
    }
    let options = ImportOptions {
        strip_prefix: Some("decoder".to_owned()),
        ..ImportOptions::default()
    };
    let error = import_as(&file, "none", &options).unwrap_err().to_string();
    assert!(error.contains("\"encoder_k\""), "{error}");
}

#[test]
fn hostile_and_compressed_archives_are_refused() {
    let tiny = models::imported("tiny", 0);
    let weights = tiny.path().join("model.safetensors");
    let folder = tempfile::tempdir().unwrap();
    for (kind, part) in [
        ("outside", "_rebuild_tensor_v2"),
        ("compressed", "compressed"),
        ("legacy_big", "little-endian"),
        ("legacy_short", "damaged"),
    ] {
        let file = variant(folder.path(), kind, Some(&weights));
        let error = import_as(&file, "model", &ImportOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    for kind in ["archive", "legacy"] {
        let file = variant(folder.path(), kind, Some(&weights));
        let whole = std::fs::read(&file).unwrap();
        for length in (0..whole.len()).step_by(whole.len() / 97) {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(
                import_as(&file, "model", &ImportOptions::default()).is_err(),
                "{length} bytes"
            );
        }
        // An archive's directory is at its end, and the pickles of an older file are at its start.
        for place in (0..4000).chain(whole.len() - 4000..whole.len()) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            // Whatever it is now, it is read or refused.
            let _ = source::open(&bytes, Network::Online, &Limits::default());
        }
    }
}
