//! A model opened without a server: the same numbers as over HTTP, whole in memory, and known in cost before it is run.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::{ImageLimits, RgbImage, decode};
use detcon_core::model::{ModelDirectory, file};
use detcon_core::regions::RegionSet;
use detcon_core::segment::{Grid, KMeans, SegmentMap};
use detcon_inference::{
    Batch, BatchLimits, Compute, Dense, Device, InferenceError, Method, Model, OpenOptions, Output,
    Part, PrecisionChoice, Space, View,
};
use detcon_tests::service::{self, RUNTIME, Service};
use detcon_tests::{golden, models};
use serde_json::Value;

use crate::answers::{floats, vectors};

const OPTIONS: OpenOptions = OpenOptions {
    precision: PrecisionChoice::Fp32,
    compute: Compute {
        device: Device::Cpu,
        threads: NonZeroUsize::MIN,
        spinning: Duration::ZERO,
    },
    dense: Dense::All,
};
/// Two answers of one program on one machine may differ by the order of sums alone.
const CLOSE: f32 = 1e-5;

fn open(model: &ModelDirectory) -> Model {
    let mut opened = Model::open(&RUNTIME, model.path(), OPTIONS).unwrap();
    opened.check().unwrap();
    opened
}

fn photographs() -> Vec<(Vec<u8>, RgbImage)> {
    let files = golden::files("images", &["png"]).into_iter();
    files
        .map(|path| {
            let bytes = fs::read(path).unwrap();
            let image = decode(&bytes, &ImageLimits::default()).unwrap();
            (bytes, image)
        })
        .collect()
}

fn limits(images: usize) -> BatchLimits {
    BatchLimits::of(images.try_into().unwrap(), 224)
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let error = golden::largest_error(found, expected);
    assert!(error <= CLOSE, "{error:e}");
}

async fn post(service: &Service, path: &str, image: &[u8], accept: &str) -> reqwest::Response {
    let request = service::client()
        .post(service.url(path))
        .header("accept", accept)
        .header("content-type", "image/png");
    request.body(image.to_vec()).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_computes_what_a_server_answers() {
    let directory = models::imported("tiny", 0);
    let store = service::store(&[&directory]);
    let service = Service::start(store.path(), &[]).await;
    let mut model = open(&directory);
    let full = View::new(Part::Full, 320).unwrap();
    for (bytes, image) in photographs() {
        let embedding = model.embeddings(std::slice::from_ref(&image), limits(1));
        let npy = "application/x-npy";
        let served = post(&service, "/v1/embeddings", &bytes, npy).await;
        assert_close(embedding.unwrap()[0].values(), &vectors(served).await[0]);

        for stage in Stage::ALL {
            let features = model.features(&image, full, stage).unwrap();
            let path = format!("/v1/features?view=full&size=320&stage={}", stage.name());
            let answer = post(&service, &path, &bytes, "application/json").await;
            let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(answer["shape"], serde_json::json!(features.shape()));
            let data = STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
            assert_close(features.values(), &floats(&data));
        }

        let method = Method::KMeans {
            clusters: KMeans::new(5, 3).unwrap(),
            stage: Stage::C4,
        };
        let segments = model.segment(&image, &method, full).unwrap().unwrap();
        let path = "/v1/segmentations?method=kmeans&k=5&seed=3&stage=c4&size=320";
        let png = post(&service, path, &bytes, "image/png").await;
        let served = SegmentMap::from_png(&png.bytes().await.unwrap(), &ImageLimits::default());
        assert_eq!(served.unwrap(), segments);

        let grid = Grid::new(3.try_into().unwrap(), 4.try_into().unwrap()).unwrap();
        let map = model.segment(&image, &Method::Grid(grid), full).unwrap();
        let set = RegionSet::from_segments(map.unwrap());
        for (space, name) in [
            (Space::Backbone, "backbone"),
            (Space::Projection, "projection"),
        ] {
            let regions = model.regions(&image, &set, full, space).unwrap().unwrap();
            let path =
                format!("/v1/regions?method=grid&rows=3&columns=4&view=full&size=320&space={name}");
            let served = post(&service, &path, &bytes, "application/json").await;
            let served: Value = serde_json::from_slice(&served.bytes().await.unwrap()).unwrap();
            let served = served["regions"].as_array().unwrap();
            assert_eq!(served.len(), regions.regions.len());
            for (region, served) in regions.regions.iter().zip(served) {
                assert_eq!(served["id"], region.id);
                assert_eq!(served["area"], region.area);
                assert_eq!(served["cells"], region.cells);
                let vector: Vec<f32> = serde_json::from_value(served["embedding"].clone()).unwrap();
                assert_close(&region.embedding, &vector);
            }
        }
    }
}

/// Of every kind of output, on one photograph.
fn everything(model: &mut Model, image: &RgbImage) -> Vec<Vec<f32>> {
    let view = View::new(Part::Full, 224).unwrap();
    let embedding = model.embeddings(std::slice::from_ref(image), limits(1));
    let mut all: Vec<Tensor> = embedding.unwrap();
    all.extend(Stage::ALL.map(|stage| model.features(image, view, stage).unwrap()));
    let grid = Grid::new(4.try_into().unwrap(), 4.try_into().unwrap()).unwrap();
    let map = grid.segment(image.height(), image.width()).unwrap();
    let set = RegionSet::from_segments(map);
    let projected = model.regions(image, &set, view, Space::Projection);
    let projected = projected.unwrap().unwrap().regions.into_iter();
    all.into_iter()
        .map(Tensor::into_values)
        .chain(projected.map(|region| region.embedding))
        .collect()
}

#[test]
fn nothing_is_read_from_a_directory_after_it_was_opened() {
    let image = &photographs()[0].1;
    for arch in ["tiny", "resnet18"] {
        let store = service::store(&[&models::imported(arch, 0)]);
        let place = store.path().join(format!("{arch}.0"));
        let mut model = open(&ModelDirectory::open(&place).unwrap());
        fs::rename(&place, store.path().join("elsewhere")).unwrap();
        fs::remove_dir_all(store.path().join("elsewhere")).unwrap();
        let before = everything(&mut model, image);
        let again = everything(&mut open(&models::imported(arch, 0)), image);
        assert_eq!(before, again);
    }
}

/// The sessions of a model whose directory is gone are started anew on the files that were opened.
#[test]
fn sessions_are_started_anew_though_the_directory_is_gone() {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let place = store.path().join("tiny.0");
    let (network, mut engine) = open(&ModelDirectory::open(&place).unwrap()).into_parts();
    assert!(network.is_unchanged());
    fs::remove_dir_all(&place).unwrap();
    assert!(!network.is_unchanged());
    let batch = Batch::blank(2, [96, 64]);
    let outputs: Vec<_> = std::iter::once(Output::Embedding)
        .chain(Stage::ALL.map(Output::Features))
        .collect();
    let run = |engine: &mut detcon_inference::Engine| -> Vec<Vec<Tensor>> {
        let outputs = outputs.iter();
        outputs.map(|&it| engine.run(&batch, it).unwrap()).collect()
    };
    let before = run(&mut engine);
    engine.reopen().unwrap();
    assert_eq!(run(&mut engine), before);
}

#[test]
fn a_file_that_was_changed_in_place_is_not_started_anew() {
    for (name, shorter) in [(file::ONNX, false), (file::STAGES_ONNX, true)] {
        let store = service::store(&[&models::imported("tiny", 0)]);
        let path = store.path().join("tiny.0").join(name);
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap(); // it is a link to a file that others use
        fs::write(&path, &bytes).unwrap();
        let place = ModelDirectory::open(&store.path().join("tiny.0")).unwrap();
        let (_, mut engine) = open(&place).into_parts();
        if shorter {
            bytes.pop();
        } else {
            *bytes.last_mut().unwrap() ^= 1;
        }
        fs::write(&path, &bytes).unwrap();
        let refused = engine.reopen().unwrap_err();
        assert!(
            matches!(&refused, InferenceError::Changed { name: changed, .. } if changed == name),
            "{refused}"
        );
        let blank = Batch::blank(1, [32, 32]);
        assert!(engine.run(&blank, Output::Embedding).is_ok());
    }
}

/// Odd sizes, where what is left of a cell counts as one; several networks, since stages have widths of their own.
#[test]
fn what_a_run_costs_is_known_before_it_begins() {
    for arch in ["tiny", "resnet18", "resnet50", "resnet50v2"] {
        let mut model = open(&models::imported(arch, 0));
        for [images, height, width] in [[1, 32, 32], [2, 33, 65], [1, 97, 150]] {
            let inputs = vec![
                detcon_inference::InputTensor {
                    height,
                    width,
                    pixels: vec![7; height * width * 3],
                };
                images
            ];
            let outputs =
                std::iter::once(Output::Embedding).chain(Stage::ALL.map(Output::Features));
            for output in outputs {
                let cost = model.network().cost(output, [images, height, width]);
                let found = model.run(&inputs, output, limits(images)).unwrap();
                let values: usize = found.iter().map(|tensor| tensor.values().len()).sum();
                assert_eq!(cost.answer_bytes, 4 * values as u64, "{arch} {output:?}");
                assert_eq!(cost.pixels, (images * height * width) as u64);
                assert!(cost.tensor_bytes >= cost.answer_bytes);
                assert!(cost.tensor_bytes >= 12 * cost.pixels);
            }
        }
        let huge = model.network().cost(Output::Embedding, [usize::MAX; 3]);
        assert_eq!((huge.pixels, huge.tensor_bytes), (u64::MAX, u64::MAX));
    }
}

#[test]
fn images_of_many_sizes_have_their_own_answers_in_their_order() {
    let mut model = open(&models::imported("tiny", 0));
    let sizes = [[64, 64], [32, 96], [64, 64], [96, 32], [32, 96], [64, 64]];
    let inputs: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(index, &[height, width])| {
            let mut random = fastrand::Rng::with_seed(index as u64);
            detcon_inference::InputTensor {
                height,
                width,
                pixels: (0..height * width * 3).map(|_| random.u8(..)).collect(),
            }
        })
        .collect();
    let together = model.run(&inputs, Output::Embedding, limits(4)).unwrap();
    assert_eq!(together.len(), inputs.len());
    for (input, found) in inputs.iter().zip(together) {
        let alone = model.run(std::slice::from_ref(input), Output::Embedding, limits(1));
        assert_close(found.values(), alone.unwrap()[0].values());
    }
}

#[test]
fn graphs_for_dense_features_are_left_out_where_that_is_asked_for() {
    let store = service::store(&[]);
    let place = models::link_into(store.path(), &models::imported("tiny", 0));
    let directory = models::quantized(&place, false);
    let stages = Stage::ALL.map(Output::Features);
    for (precision, dense, given) in [
        (PrecisionChoice::Fp32, Dense::All, [true; 4]),
        (
            PrecisionChoice::Fp32,
            Dense::C5,
            [false, false, false, true],
        ),
        (
            PrecisionChoice::Fp32,
            Dense::Main,
            [false, false, false, true],
        ),
        (PrecisionChoice::Int8, Dense::All, [true; 4]),
        (
            PrecisionChoice::Int8,
            Dense::C5,
            [false, false, false, true],
        ),
        (PrecisionChoice::Int8, Dense::Main, [false; 4]),
    ] {
        let options = OpenOptions {
            precision,
            dense,
            ..OPTIONS
        };
        let opened = Model::open(&RUNTIME, directory.path(), options).unwrap();
        let (network, mut engine) = opened.into_parts();
        assert_eq!(stages.map(|stage| network.gives(stage)), given);
        let blank = Batch::blank(1, [32, 32]);
        for (output, given) in stages.into_iter().zip(given) {
            let run = engine.run(&blank, output);
            assert_eq!(run.is_ok(), given, "{precision:?} {dense:?} {output:?}");
        }
        assert!(engine.run(&blank, Output::Embedding).is_ok());
    }
}
