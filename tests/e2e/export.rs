//! `detcon-convert export`: the same weights in other software's form, and nothing where they do not fit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use detcon_converter::demo::demo;
use detcon_converter::export::{ExportError, Kernels, Target, export};
use detcon_converter::haiku::{HaikuTree, Network};
use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_converter::pickle::{Limits, Value};
use detcon_converter::source;
use detcon_core::checkpoint::Checkpoint;
use detcon_core::files::{Existing, StageError};
use detcon_core::model::ModelDirectory;
use detcon_tests::{golden, models};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

const TARGETS: [Target; 7] = [
    Target::Torchvision(Kernels::AsTheyAre),
    Target::Torchvision(Kernels::ZeroExtended),
    Target::Timm,
    Target::Transformers,
    Target::Detectron2,
    Target::Haiku,
    Target::Onnx { size: [64, 96] },
];

fn untrained(folder: &Path, arch: &str) -> ModelDirectory {
    let place = folder.join(arch.replace('+', "-"));
    demo(&place, Existing::Keep, arch.parse().unwrap(), 0).unwrap();
    ModelDirectory::open(&place).unwrap()
}

fn checkpoint(model: &ModelDirectory) -> Checkpoint {
    let bytes = fs::read(model.path().join("model.safetensors")).unwrap();
    Checkpoint::from_bytes(model.manifest().spec, &bytes).unwrap()
}

fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<usize>> {
    let value = source::read(bytes, &Limits::default()).unwrap();
    let tree = HaikuTree::read(&value, Network::Online).unwrap();
    tree.entries
        .iter()
        .map(|entry| (entry.key(), entry.array.shape().to_vec()))
        .collect()
}

#[test]
fn haiku_files_have_the_published_names_and_shapes_and_import_to_the_same_weights_and_heads() {
    for encoder in golden::encoders() {
        let model = models::imported(&encoder.arch, encoder.seed);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exported.npy");
        export(model.path(), Target::Haiku, &file, Existing::Keep).unwrap();
        let published =
            fs::read(golden::checkpoint(&encoder.arch, encoder.seed, "released")).unwrap();
        assert_eq!(
            entries(&fs::read(&file).unwrap()),
            entries(&published),
            "{}",
            encoder.arch
        );
        let again = folder.path().join(model.manifest().name.as_str());
        import(&Location::File(file), &again, &ImportOptions::default()).unwrap();
        let again = ModelDirectory::open(&again).unwrap();
        for name in ["model.safetensors", "heads.safetensors", "model.onnx"] {
            let digest = |model: &ModelDirectory| model.manifest().files[name].sha256.clone();
            assert_eq!(digest(&again), digest(&model), "{name} of {}", encoder.arch);
        }
        let second = folder.path().join("second.npy");
        export(again.path(), Target::Haiku, &second, Existing::Keep).unwrap();
        let first = fs::read(folder.path().join("exported.npy")).unwrap();
        assert!(fs::read(second).unwrap() == first, "{}", encoder.arch);
    }
}

#[test]
fn torchvision_files_hold_every_parameter_and_a_batch_count_for_each_batch_norm() {
    let folder = tempfile::tempdir().unwrap();
    let model = untrained(folder.path(), "resnet50");
    let checkpoint = checkpoint(&model);
    for kernels in [Kernels::AsTheyAre, Kernels::ZeroExtended] {
        let file = folder.path().join(format!("{kernels:?}.safetensors"));
        export(
            model.path(),
            Target::Torchvision(kernels),
            &file,
            Existing::Keep,
        )
        .unwrap();
        let bytes = fs::read(&file).unwrap();
        let found = SafeTensors::deserialize(&bytes).unwrap();
        let counts = found
            .names()
            .iter()
            .filter(|name| name.ends_with("num_batches_tracked"))
            .count();
        assert_eq!(
            (counts, found.len() - counts),
            (53, checkpoint.tensors().len())
        );
        assert_eq!(
            found.tensor("bn1.num_batches_tracked").unwrap().dtype(),
            Dtype::I64
        );
        let mut grown = 0;
        for (name, tensor) in checkpoint.tensors() {
            let view = found.tensor(name).unwrap();
            let values: Vec<f32> = view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|v| f32::from_le_bytes(*v))
                .collect();
            if view.shape() == tensor.shape() {
                assert_eq!(values, tensor.values(), "{name}");
            } else {
                let (sum, expected): (f32, f32) =
                    (values.iter().sum(), tensor.values().iter().sum());
                assert!((sum - expected).abs() < 1e-2 && values[0] == 0.0, "{name}");
                grown += 1;
            }
        }
        // The stem and the 3×3 of the first blocks of the last three groups.
        assert_eq!(grown, if kernels == Kernels::AsTheyAre { 0 } else { 4 });
        assert_eq!(
            file.with_extension("py").exists(),
            kernels == Kernels::ZeroExtended
        );
    }
}

#[test]
fn detectron2_files_are_pickles_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = untrained(folder.path(), "resnet50");
    let checkpoint = checkpoint(&model);
    let file = folder.path().join("resnet50.pkl");
    export(model.path(), Target::Detectron2, &file, Existing::Keep).unwrap();
    let bytes = fs::read(&file).unwrap();
    let Value::Dict(parts) = source::read(&bytes, &Limits::default()).unwrap() else {
        panic!("no mapping")
    };
    let keys: Vec<_> = parts
        .iter()
        .map(|(key, _)| key.as_text().unwrap())
        .collect();
    assert_eq!(keys, ["model", "__author__", "matching_heuristics"]);
    let Value::Dict(arrays) = &parts[0].1 else {
        panic!("no arrays")
    };
    assert_eq!(arrays.len(), checkpoint.tensors().len());
    let array = |name: &str| match arrays.iter().find(|(key, _)| key.as_text() == Some(name)) {
        Some((_, Value::Array(array))) => array.to_f32().unwrap(),
        other => panic!("{name}: {other:?}"),
    };
    for (theirs, ours) in [
        ("stem.conv1.weight", "conv1.weight"),
        ("stem.conv1.norm.running_var", "bn1.running_var"),
        ("res2.0.shortcut.weight", "layer1.0.downsample.0.weight"),
        ("res5.2.conv3.norm.weight", "layer4.2.bn3.weight"),
    ] {
        assert_eq!(array(theirs), checkpoint.get(ours).values(), "{theirs}");
    }
}

#[test]
fn timm_folders_hold_configuration_weights_and_a_model_card() {
    let model = models::imported("resnet50", 0);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("hub");
    export(model.path(), Target::Timm, &place, Existing::Keep).unwrap();
    let mut names: Vec<_> = fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors"]);
    let card = fs::read_to_string(place.join("README.md")).unwrap();
    assert!(card.starts_with("---\nlicense: "), "{card}");
    assert!(
        card.contains(model.manifest().source.sha256.as_ref().unwrap()),
        "{card}"
    );
    assert!(card.contains("license: unknown"), "{card}");
}

/// The checkpoint is named neither after a method nor after its data, and its file says nothing of either.
#[test]
fn nothing_is_claimed_that_the_source_did_not_tell() {
    let model = models::imported_from_torch("resnet18", 0);
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for target in [Target::Timm, Target::Transformers] {
        let place = folder.path().join(target.to_string());
        export(model.path(), target, &place, Existing::Keep).unwrap();
        for name in ["README.md", "config.json"] {
            texts.push(fs::read_to_string(place.join(name)).unwrap());
        }
    }
    let file = folder.path().join("d2.pkl");
    export(model.path(), Target::Detectron2, &file, Existing::Keep).unwrap();
    let bytes = fs::read(&file).unwrap();
    let Value::Dict(parts) = source::read(&bytes, &Limits::default()).unwrap() else {
        panic!("no mapping")
    };
    let author = parts
        .iter()
        .find(|(key, _)| key.as_text() == Some("__author__"));
    texts.push(author.unwrap().1.as_text().unwrap().to_owned());
    for text in texts {
        let claims = ["DetCon", "Contrastive", "ImageNet", "SAME"];
        assert!(!claims.iter().any(|claim| text.contains(claim)), "{text}");
    }
}

/// What a file says of itself is taken, and a directory says it for a file that does not.
#[test]
fn exports_and_directories_say_which_network_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (arch, target) in [
        ("resnet18", None),
        ("resnet50", Some(Target::Torchvision(Kernels::AsTheyAre))),
        ("resnet18+symmetric+identity+none", Some(Target::Timm)),
        (
            "resnet50+symmetric+os16",
            Some(Target::Torchvision(Kernels::AsTheyAre)),
        ),
    ] {
        let model = untrained(folder.path(), arch);
        let out = folder.path().join("out");
        let file = match target {
            None => model.path().join("model.safetensors"),
            Some(target) => {
                export(model.path(), target, &out, Existing::Replace).unwrap();
                if out.is_dir() {
                    out.join("model.safetensors")
                } else {
                    out.clone()
                }
            }
        };
        let again = folder.path().join("again");
        let options = ImportOptions {
            existing: Existing::Replace,
            ..ImportOptions::default()
        };
        let imported = import(&Location::File(file), &again, &options).unwrap();
        assert_eq!(imported.spec, model.manifest().spec, "{arch}");
        assert_eq!(imported.assumed, None, "{arch}");
        if out.is_dir() {
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn networks_that_a_target_cannot_hold_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, extended, timm, transformers, detectron2, haiku, _] = TARGETS;
    let torch = [plain, extended, timm, transformers, detectron2];
    for (arch, targets) in [
        ("tiny", &[plain, extended, timm, detectron2][..]),
        ("resnet18", &torch),
        ("resnet50v2", &torch),
        ("resnet50x2", &[plain, extended, timm]),
        ("resnet18+symmetric+identity", &[extended, haiku]),
        (
            "resnet18+identity+os16",
            &[plain, extended, transformers, detectron2, haiku],
        ),
        ("resnet50+os8", &[extended, transformers, detectron2, haiku]),
        (
            "resnet50+symmetric+stride1x1",
            &[plain, extended, timm, haiku],
        ),
        (
            "wide_resnet50_2+symmetric",
            &[extended, transformers, haiku],
        ),
    ] {
        let model = untrained(folder.path(), arch);
        let fits = TARGETS.iter().filter(|target| !targets.contains(target));
        for &target in fits {
            let inside = tempfile::tempdir().unwrap();
            let place = inside.path().join("out");
            let written = export(model.path(), target, &place, Existing::Keep);
            assert!(written.is_ok(), "{arch} to {target}: {written:?}");
        }
        for &target in targets {
            let place = folder.path().join("out");
            let error = export(model.path(), target, &place, Existing::Keep).unwrap_err();
            assert!(
                matches!(error, ExportError::Unfit { .. }),
                "{arch} to {target}: {error}"
            );
            assert!(!place.exists());
        }
    }
}

#[test]
fn what_is_there_is_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let model = untrained(folder.path(), "resnet50");
    for target in TARGETS {
        let place = folder.path().join("out");
        export(model.path(), target, &place, Existing::Keep).unwrap();
        let error = export(model.path(), target, &place, Existing::Keep).unwrap_err();
        assert!(
            matches!(error, ExportError::Stage(StageError::Exists { .. })),
            "{error}"
        );
        export(model.path(), target, &place, Existing::Replace).unwrap();
        let hidden = fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes()[0] == b'.')
            .count();
        assert_eq!(hidden, 0, "{target} leaves something beside its output");
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        } else {
            fs::remove_file(&place).unwrap();
        }
        let _ = fs::remove_file(place.with_extension("py")); // only zero-extended kernels have a loader
    }
}
