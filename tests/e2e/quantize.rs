//! `detcon-convert quantize`: a graph that is near float32, or a directory that is as it was.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_converter::quantize::{
    Method, QuantizeError, QuantizeOptions, Quantized, Target, quantize,
};
use detcon_converter::runtime::Runtime;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_tests::{golden, models};

fn library() -> PathBuf {
    std::env::var_os("DETCON_ONNXRUNTIME").map_or_else(
        || golden::workspace().join(".deps/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    )
}

fn store() -> tempfile::TempDir {
    tempfile::tempdir_in(golden::workspace().join("target")).unwrap()
}

fn photographs() -> PathBuf {
    golden::directory().join("images")
}

fn int8(calibrate: &Path) -> QuantizeOptions {
    QuantizeOptions {
        target: Target::Int8 {
            calibrate: calibrate.to_owned(),
            method: Method::Mse,
            held_out: None,
        },
        most: 8,
        existing: Existing::Keep,
    }
}

fn fp16() -> QuantizeOptions {
    QuantizeOptions {
        target: Target::Fp16 {
            held_out: photographs(),
        },
        ..int8(&photographs())
    }
}

fn run(place: &Path, options: &QuantizeOptions) -> Result<Quantized, QuantizeError> {
    quantize(place, &library(), options)
}

fn embedding(model: &ModelDirectory, precision: Precision, images: &golden::Array<u8>) -> Vec<f32> {
    let onnx = fs::read(model.graph(precision).unwrap()).unwrap();
    let mut graph = Runtime::load(&library()).unwrap().graph(&onnx).unwrap();
    let shape = images.shape.clone().try_into().unwrap();
    let mut outputs = graph.run(&images.values, shape, &["embedding"]).unwrap();
    outputs.remove(0)
}

/// The floors leave half again of what is lost: ResNet-18 reaches 0.999, and a forgotten bias, a wrong zero point or
/// a scale of another channel falls below 0.9. The cases are other sizes and other pictures.
#[test]
fn an_int8_graph_is_near_float32_on_what_it_was_not_calibrated_on() {
    for arch in ["tiny", "resnet18"] {
        let (store, model) = (store(), models::imported(arch, 0));
        let place = models::link_into(store.path(), &model);
        let quality = run(&place, &int8(&photographs())).unwrap().quality;
        assert!(quality.centred_cosine.worst > 0.995, "{arch}: {quality:?}");
        assert!(
            quality.relative_l2_error.worst < 0.03,
            "{arch}: {quality:?}"
        );

        let model = ModelDirectory::open(&place).unwrap();
        let manifest = model.manifest();
        assert_eq!(manifest.precisions, [Precision::Fp32, Precision::Int8]);
        assert_eq!(manifest.quality[&Precision::Int8], quality);
        for encoder in golden::encoders().iter().filter(|it| it.arch == arch) {
            for case in &encoder.cases {
                let found = embedding(&model, Precision::Int8, &case.images);
                let error = golden::l2_error(&found, &case.outputs["embedding"].values);
                assert!(error < 0.2, "{arch} {:?}: {error}", case.images.shape);
            }
        }
    }
}

#[test]
fn every_estimator_of_ranges_gives_a_graph_that_is_near_float32() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    for method in [Method::MinMax, Method::Percentile, Method::Entropy] {
        let options = QuantizeOptions {
            target: Target::Int8 {
                calibrate: photographs(),
                method,
                held_out: Some(photographs()),
            },
            existing: Existing::Replace,
            ..int8(&photographs())
        };
        let quality = run(&place, &options).unwrap().quality;
        assert!(
            quality.centred_cosine.worst > 0.99,
            "{method:?}: {quality:?}"
        );
        assert_eq!(quality.method, method.name());
    }
}

#[test]
fn a_pre_activation_network_is_quantized_too() {
    let (store, model) = (store(), models::imported("resnet50v2", 0));
    let place = models::link_into(store.path(), &model);
    let options = QuantizeOptions {
        most: 4,
        ..int8(&photographs())
    };
    let quality = run(&place, &options).unwrap().quality;
    assert!(quality.centred_cosine.worst > 0.99, "{quality:?}");
}

#[test]
fn an_fp16_graph_is_nearer_than_int8_and_stands_beside_it() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    run(&place, &int8(&photographs())).unwrap();
    let quality = run(&place, &fp16()).unwrap().quality;
    assert!(quality.relative_l2_error.worst < 2e-3, "{quality:?}");
    let model = ModelDirectory::open(&place).unwrap();
    let precisions = [Precision::Fp32, Precision::Fp16, Precision::Int8];
    assert_eq!(model.manifest().precisions, precisions);
}

#[test]
fn each_precision_passes_the_self_check_with_the_tolerance_measured_for_it() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    run(&place, &int8(&photographs())).unwrap();
    run(&place, &fp16()).unwrap();
    let model = ModelDirectory::open(&place).unwrap();
    for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
        let check = model.self_check_of(precision).unwrap();
        let images = golden::Array {
            shape: check.shape.to_vec(),
            values: check.images.clone(),
        };
        let answer = embedding(&model, precision, &images);
        assert!(check.compare(&answer).is_ok(), "{precision}");
        if precision == Precision::Int8 {
            let exact = model.self_check_of(Precision::Fp32).unwrap();
            assert!(
                exact.compare(&answer).is_err(),
                "int8 cannot be as near as float32"
            );
        }
    }
}

#[test]
fn what_else_is_in_the_directory_stays_and_its_files_are_not_written_through() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    fs::create_dir(place.join("heads")).unwrap();
    fs::write(place.join("heads/cityscapes.json"), "{}").unwrap();
    run(&place, &int8(&photographs())).unwrap();
    assert_eq!(
        fs::read(place.join("heads/cityscapes.json")).unwrap(),
        b"{}"
    );
    let before = model.digest().to_owned();
    assert_eq!(ModelDirectory::open(model.path()).unwrap().digest(), before);
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
}

#[test]
fn a_graph_that_is_there_is_replaced_only_when_asked() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    let options = int8(&photographs());
    run(&place, &options).unwrap();
    let error = run(&place, &options).unwrap_err();
    assert!(matches!(error, QuantizeError::Exists { .. }), "{error}");
    let again = QuantizeOptions {
        existing: Existing::Replace,
        ..options
    };
    run(&place, &again).unwrap();
    ModelDirectory::open(&place).unwrap();
}

#[test]
fn folders_that_cannot_be_calibrated_on_are_refused_and_the_model_is_as_it_was() {
    let (store, model) = (store(), models::imported("tiny", 0));
    let place = models::link_into(store.path(), &model);
    let [empty, text, hidden, one] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    fs::write(text.path().join("notes.txt"), "no picture").unwrap();
    fs::write(hidden.path().join(".hidden.jpg"), "").unwrap();
    let photograph = &golden::files("images", &["png"])[0];
    fs::copy(photograph, one.path().join("one.png")).unwrap();
    for (folder, said) in [
        (empty.path(), "holds no files"),
        (text.path(), "none of the 1 files"),
        (hidden.path(), "holds no files"),
        (one.path(), "holds one photograph"),
        (&one.path().join("missing"), "could not be read"),
    ] {
        let error = run(&place, &int8(folder)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(
        ModelDirectory::open(&place).unwrap().digest(),
        model.digest()
    );
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
}
