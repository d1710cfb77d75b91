//! `detcon-convert quantize`: a graph that is near float32, or a directory that is as it was.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use detcon_converter::demo::demo;
use detcon_converter::import::ImportOptions;
use detcon_converter::location::Location;
use detcon_converter::quantize::{
    Method, QuantizeError, QuantizeOptions, Quantized, Target, quantize,
};
use detcon_converter::quantized_import::{QuantizedImportError, import_quantized};
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_inference::{Graph, Runtime};
use detcon_tests::service::library;
use detcon_tests::{golden, models};

/// A copy of an imported model, in a store of its own.
struct Copy {
    store: tempfile::TempDir,
    place: PathBuf,
    original: ModelDirectory,
}

impl Copy {
    fn of(arch: &str) -> Self {
        let original = models::imported(arch, 0);
        let store = tempfile::tempdir_in(golden::workspace().join("target")).unwrap();
        let place = models::link_into(store.path(), &original);
        Self {
            store,
            place,
            original,
        }
    }

    /// The names of everything in the store.
    fn neighbours(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.store.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
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
    let runtime = Runtime::load(&library()).unwrap();
    let mut graph = Graph::from_bytes(&runtime, &onnx).unwrap();
    let shape = images.shape.clone().try_into().unwrap();
    let mut outputs = graph.run(&images.values, shape, &["embedding"]).unwrap();
    outputs.remove(0)
}

/// A forgotten bias, a wrong zero point or the scale of another channel costs a cosine of 0.1 and more; what 8 bits
/// lose is a hundredth of that. Tiny's 8 channels average out less than a larger network's.
#[test]
fn an_int8_graph_is_near_float32_on_what_it_was_not_calibrated_on() {
    for arch in ["tiny", "resnet18"] {
        let copy = Copy::of(arch);
        let quality = run(&copy.place, &int8(&photographs())).unwrap().quality;
        assert!(quality.centred_cosine.worst > 0.995, "{arch}: {quality:?}");
        assert!(
            quality.relative_l2_error.worst < 0.08,
            "{arch}: {quality:?}"
        );

        let model = ModelDirectory::open(&copy.place).unwrap();
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
    let copy = Copy::of("tiny");
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
        let quality = run(&copy.place, &options).unwrap().quality;
        assert!(
            quality.centred_cosine.worst > 0.99,
            "{method:?}: {quality:?}"
        );
        assert_eq!(quality.method, method.name());
    }
}

#[test]
fn a_pre_activation_network_is_quantized_too() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("tinyv2");
    demo(&place, Existing::Keep, "tinyv2".parse().unwrap(), 0).unwrap();
    let quality = run(&place, &int8(&photographs())).unwrap().quality;
    assert!(quality.centred_cosine.worst > 0.99, "{quality:?}");
}

#[test]
fn an_fp16_graph_is_nearer_than_int8_and_stands_beside_it() {
    let copy = Copy::of("tiny");
    run(&copy.place, &int8(&photographs())).unwrap();
    let quality = run(&copy.place, &fp16()).unwrap().quality;
    assert!(quality.relative_l2_error.worst < 2e-3, "{quality:?}");
    let model = ModelDirectory::open(&copy.place).unwrap();
    let precisions = [Precision::Fp32, Precision::Fp16, Precision::Int8];
    assert_eq!(model.manifest().precisions, precisions);
}

#[test]
fn each_precision_passes_the_self_check_with_the_tolerance_measured_for_it() {
    let copy = Copy::of("tiny");
    run(&copy.place, &int8(&photographs())).unwrap();
    run(&copy.place, &fp16()).unwrap();
    let model = ModelDirectory::open(&copy.place).unwrap();
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
    let copy = Copy::of("tiny");
    fs::create_dir(copy.place.join("heads")).unwrap();
    fs::write(copy.place.join("heads/cityscapes.json"), "{}").unwrap();
    run(&copy.place, &int8(&photographs())).unwrap();
    assert_eq!(
        fs::read(copy.place.join("heads/cityscapes.json")).unwrap(),
        b"{}"
    );
    let original = ModelDirectory::open(copy.original.path()).unwrap();
    assert_eq!(original.digest(), copy.original.digest());
    assert_eq!(copy.neighbours(), ["tiny.0"]);
}

#[test]
fn a_graph_that_is_there_is_replaced_only_when_asked() {
    let copy = Copy::of("tiny");
    let options = int8(&photographs());
    run(&copy.place, &options).unwrap();
    let error = run(&copy.place, &options).unwrap_err();
    assert!(matches!(error, QuantizeError::Exists { .. }), "{error}");
    let again = QuantizeOptions {
        existing: Existing::Replace,
        ..options
    };
    run(&copy.place, &again).unwrap();
    ModelDirectory::open(&copy.place).unwrap();
}

#[test]
fn folders_that_cannot_be_calibrated_on_are_refused_and_the_model_is_as_it_was() {
    let copy = Copy::of("tiny");
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
        let error = run(&copy.place, &int8(folder)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let now = ModelDirectory::open(&copy.place).unwrap();
    assert_eq!(now.digest(), copy.original.digest());
    assert_eq!(copy.neighbours(), ["tiny.0"]);
}

#[test]
fn a_checkpoint_is_imported_with_its_lower_precisions_or_not_at_all() {
    let tiny = models::imported("tiny", 0);
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join(tiny.manifest().name.as_str());
    let source = Location::File(golden::checkpoint("tiny", 0, "released"));
    let import = |precisions: &[QuantizeOptions]| {
        import_quantized(
            &source,
            &place,
            &ImportOptions::default(),
            precisions,
            &library(),
        )
    };
    let empty = tempfile::tempdir().unwrap();
    let failed = import(&[fp16(), int8(empty.path())]).unwrap_err();
    assert!(
        matches!(
            failed,
            QuantizedImportError::Quantize(QuantizeError::Empty { .. })
        ),
        "{failed}"
    );
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);

    let (_, quantized) = import(&[fp16(), int8(&photographs())]).unwrap();
    let made: Vec<_> = quantized.iter().map(|it| it.precision).collect();
    assert_eq!(made, [Precision::Fp16, Precision::Int8]);
    let model = ModelDirectory::open(&place).unwrap();
    let manifest = model.manifest();
    assert_eq!(
        manifest.precisions,
        [Precision::Fp32, Precision::Fp16, Precision::Int8]
    );
    for (name, entry) in &tiny.manifest().files {
        assert_eq!(manifest.files[name], *entry, "{name}");
    }
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
}
