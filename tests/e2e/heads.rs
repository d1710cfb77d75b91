//! Segmentation heads: written into a model directory, picked up by a server that watches, and asked over HTTP.

use std::fs;
use std::path::PathBuf;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::{Tensor, Tensors, tensors_from_bytes};
use detcon_core::files::Existing;
use detcon_core::image::{ImageLimits, decode};
use detcon_core::model::{
    HeadEntry, HeadQuality, ModelDirectory, ModelError, ModelName, ModelUpdate, UpdateError, file,
};
use detcon_core::segment::{HeadKind, SegmentMap};
use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use reqwest::Client;
use serde_json::Value;

const CLASSES: usize = 5;
const HIDDEN: usize = 6;
/// Scores nearer to each other than this share of the largest may change places with float32's rounding.
const TIE: f64 = 1e-4;

fn photograph() -> Vec<u8> {
    fs::read(&golden::files("images", &["png"])[0]).unwrap()
}

pub(crate) fn name(text: &str) -> ModelName {
    ModelName::try_from(text.to_owned()).unwrap()
}

fn class(id: usize) -> String {
    format!("class {id}")
}

pub(crate) fn entry(kind: HeadKind, stage: Stage, size: u32) -> HeadEntry {
    HeadEntry {
        kind,
        stage,
        size,
        classes: (0..CLASSES).map(class).collect(),
        quality: Some(HeadQuality {
            measured_on: "nothing".to_owned(),
            images: 1,
            mean_iou: 0.5,
            class_iou: vec![Some(0.5); CLASSES],
            pixel_accuracy: 0.75,
        }),
    }
}

/// Weights that make classes of about the same size.
pub(crate) fn weights(kind: HeadKind, channels: usize) -> Tensors {
    let mut random = fastrand::Rng::with_seed(7);
    let mut tensor = |shape: &[usize]| {
        let values = (0..shape.iter().product()).map(|_| random.f32() - 0.5);
        Tensor::new(shape.to_vec(), values.collect())
    };
    let mut tensors = Tensors::new();
    let inputs = match kind {
        HeadKind::Linear => channels,
        HeadKind::Fcn => {
            let [weight, bias] = HeadKind::HIDDEN.map(str::to_owned);
            tensors.insert(weight, tensor(&[HIDDEN, channels, 3, 3]));
            tensors.insert(bias, tensor(&[HIDDEN]));
            HIDDEN
        }
    };
    let [weight, bias] = HeadKind::CLASSIFIER.map(str::to_owned);
    tensors.insert(weight, tensor(&[CLASSES, inputs, 1, 1]));
    tensors.insert(bias, tensor(&[CLASSES]));
    tensors
}

/// A model of its own in a store of its own, and a watching server.
struct Setup {
    store: tempfile::TempDir,
    place: PathBuf,
    service: Service,
    client: Client,
}

impl Setup {
    async fn new() -> Self {
        let model = models::imported("tiny", 0);
        let store = service::store(&[&model]);
        let place = store.path().join(model.manifest().name.as_str());
        let service = Service::start(store.path(), &["--watch", "0.02"]).await;
        let client = detcon_tests::service::client();
        Self {
            store,
            place,
            service,
            client,
        }
    }

    fn model(&self) -> ModelDirectory {
        ModelDirectory::open(&self.place).unwrap()
    }

    fn add(
        &self,
        head: &str,
        (kind, stage, size): (HeadKind, Stage, u32),
        existing: Existing,
    ) -> Result<(), UpdateError> {
        let model = self.model();
        let tensors = weights(kind, model.manifest().spec.channels(stage));
        let update = ModelUpdate::new(&model)?;
        update.add_head(&name(head), entry(kind, stage, size), &tensors, existing)
    }

    /// Waits until what is in the directory is served.
    async fn until_served(&self) -> Value {
        let path = format!("/v1/models/{}", self.model().manifest().name);
        loop {
            let found: Value = self.get(&path).await.json().await.unwrap();
            if found["digest"] == self.model().digest() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(self.service.url(path));
        request.send().await.unwrap()
    }

    async fn post(&self, path: &str, accept: &str) -> reqwest::Response {
        let request = self.client.post(self.service.url(path)).body(photograph());
        let request = request.header("content-type", "image/png");
        request.header("accept", accept).send().await.unwrap()
    }

    /// `[C, h, w]` of the whole photograph.
    async fn features(&self, stage: Stage, size: u32) -> Tensor {
        let path = format!("/v1/features?stage={}&view=full&size={size}", stage.name());
        let answer = self.post(&path, "application/safetensors").await;
        let mut tensors = tensors_from_bytes(&answer.bytes().await.unwrap()).unwrap();
        tensors.pop_first().unwrap().1
    }
}

/// A convolution with zeros around the grid, in float64.
fn convolved(input: &Grid, weight: &Tensor, bias: &Tensor) -> Grid {
    let [outputs, channels, side, _] = *weight.shape() else {
        panic!("four axes")
    };
    assert_eq!(channels, input.channels);
    let (height, width) = (input.height, input.width);
    let mut values = Vec::new();
    for output in 0..outputs {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let mut sum = f64::from(bias.values()[output]);
            for (channel, tap) in
                (0..channels).flat_map(|c| (0..side * side).map(move |tap| (c, tap)))
            {
                let row = (y + tap / side).checked_sub(side / 2);
                let column = (x + tap % side).checked_sub(side / 2);
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                if row < height && column < width {
                    let place = (output * channels + channel) * side * side + tap;
                    sum += f64::from(weight.values()[place]) * input.at(channel, row, column);
                }
            }
            values.push(sum);
        }
    }
    Grid {
        channels: outputs,
        values,
        ..*input
    }
}

struct Grid {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Grid {
    fn at(&self, channel: usize, row: usize, column: usize) -> f64 {
        self.values[(channel * self.height + row) * self.width + column]
    }

    /// A score of a class at a pixel of an image, between the middles of the four cells around it.
    fn between(&self, class: usize, [y, x]: [usize; 2], [rows, columns]: [u32; 2]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let position = |at: usize, cells: usize, pixels: u32| {
            let place = (at as f64 + 0.5) * cells as f64 / f64::from(pixels) - 0.5;
            place.clamp(0.0, (cells - 1) as f64)
        };
        let (row, column) = (
            position(y, self.height, rows),
            position(x, self.width, columns),
        );
        let mut sum = 0.0;
        for (i, j) in (0..self.height).flat_map(|i| (0..self.width).map(move |j| (i, j))) {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let share = |at: f64, cell: usize| (1.0 - (at - cell as f64).abs()).max(0.0);
            sum += share(row, i) * share(column, j) * self.at(class, i, j);
        }
        sum
    }
}

fn scores(kind: HeadKind, features: &Tensor) -> Grid {
    let [channels, height, width] = *features.shape() else {
        panic!("three axes")
    };
    let mut grid = Grid {
        channels,
        height,
        width,
        values: features.values().iter().copied().map(f64::from).collect(),
    };
    let tensors = weights(kind, channels);
    if kind == HeadKind::Fcn {
        let [weight, bias] = HeadKind::HIDDEN.map(|name| &tensors[name]);
        grid = convolved(&grid, weight, bias);
        grid.values.iter_mut().for_each(|it| *it = it.max(0.0));
    }
    let [weight, bias] = HeadKind::CLASSIFIER.map(|name| &tensors[name]);
    convolved(&grid, weight, bias)
}

/// Holds every pixel's class against the reference, but for those whose best scores are equal within rounding.
fn check(map: &SegmentMap, scores: &Grid) {
    let size = [map.height(), map.width()];
    let largest = scores
        .values
        .iter()
        .fold(0.0_f64, |most, it| most.max(it.abs()));
    let mut seen = [0; CLASSES];
    for (place, id) in map.ids().iter().enumerate() {
        let at = [place / size[1] as usize, place % size[1] as usize];
        // One row in seven is enough.
        if !at[0].is_multiple_of(7) {
            continue;
        }
        let found = scores.between(usize::from(*id), at, size);
        let best = (0..CLASSES).map(|class| scores.between(class, at, size));
        let best = best.fold(f64::NEG_INFINITY, f64::max);
        assert!(
            best - found <= TIE * largest,
            "{at:?}: class {id}, {found} of {best}"
        );
        seen[usize::from(*id)] += 1;
    }
    assert!(
        seen.iter().filter(|&&pixels| pixels > 0).count() > 1,
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_into_a_model_is_served_and_computes_what_it_should() {
    let setup = Setup::new().await;
    let image = decode(&photograph(), &ImageLimits::default()).unwrap();
    let heads = [
        ("linear-c5", (HeadKind::Linear, Stage::C5, 224)),
        ("linear-c4", (HeadKind::Linear, Stage::C4, 160)),
        ("fcn-c5", (HeadKind::Fcn, Stage::C5, 320)),
        ("fcn-c4", (HeadKind::Fcn, Stage::C4, 224)),
    ];
    for (head, what) in heads {
        setup.add(head, what, Existing::Keep).unwrap();
    }
    let described = setup.until_served().await;
    for (head, (kind, stage, size)) in heads {
        let entry = &described["segmentation_heads"][head];
        assert_eq!(entry["stage"], stage.name(), "{entry}");
        assert_eq!(entry["classes"][4], "class 4", "{entry}");
        assert_eq!(entry["quality"]["mean_iou"], 0.5, "{entry}");
        for asked in [None, Some(256)] {
            let mut path = format!("/v1/segmentations?method=head:{head}");
            path.extend(asked.map(|size| format!("&size={size}")));
            let answer = setup.post(&path, "image/png").await;
            assert_eq!(answer.status(), 200, "{head}");
            let digest = &answer.headers()["x-detcon-model-digest"];
            assert_eq!(digest, setup.model().digest());
            let map = answer.bytes().await.unwrap();
            let map = SegmentMap::from_png(&map, &ImageLimits::default()).unwrap();
            assert_eq!([map.height(), map.width()], [image.height(), image.width()]);
            let features = setup.features(stage, asked.unwrap_or(size)).await;
            check(&map, &scores(kind, &features));

            let json: Value = setup
                .post(&path, "application/json")
                .await
                .json()
                .await
                .unwrap();
            let segments = json["segments"].as_array().unwrap();
            assert_eq!(segments.len(), map.distinct().len());
            for (segment, id) in segments.iter().zip(map.distinct()) {
                assert_eq!(segment["id"], id);
                assert_eq!(segment["class"], class(id.into()));
            }
            let overlay = setup
                .post(&format!("{path}&output=overlay"), "image/png")
                .await;
            let overlay = decode(&overlay.bytes().await.unwrap(), &ImageLimits::default()).unwrap();
            assert_eq!(
                (overlay.height(), overlay.width()),
                (image.height(), image.width())
            );
        }
        for path in [
            format!("heads/{head}.safetensors"),
            format!("heads%2F{head}.safetensors"),
        ] {
            let model = setup.model().manifest().name.to_string();
            for address in [
                format!("/v1/models/{model}/files/{path}"),
                format!("/detcon/{model}/resolve/main/{path}"),
                format!("/{model}/resolve/main/{path}"),
            ] {
                let answer = setup.get(&address).await;
                assert_eq!(answer.status(), 200, "{address}");
                let tensors = tensors_from_bytes(&answer.bytes().await.unwrap()).unwrap();
                assert!(tensors.contains_key(HeadKind::CLASSIFIER[0]));
            }
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_not_there_and_fields_of_other_methods_are_refused() {
    let setup = Setup::new().await;
    let refused = async |path: &str| {
        let answer = setup.post(path, "*/*").await;
        let problem: Value = answer.json().await.unwrap();
        let text = |field: &str| problem[field].as_str().unwrap().to_owned();
        (
            problem["status"].as_u64().unwrap(),
            text("type"),
            text("detail"),
        )
    };
    let (status, kind, detail) = refused("/v1/segmentations?method=head:voc").await;
    assert_eq!(
        (status, kind.as_str()),
        (422, "urn:detcon:problem:model-lacks")
    );
    assert!(
        detail.contains("no segmentation head: train one with"),
        "{detail}"
    );
    for head in ["voc", "ade"] {
        let what = (HeadKind::Linear, Stage::C5, 224);
        setup.add(head, what, Existing::Keep).unwrap();
    }
    setup.until_served().await;
    let (status, kind, detail) = refused("/v1/segmentations?method=head:coco").await;
    assert_eq!(
        (status, kind.as_str()),
        (404, "urn:detcon:problem:unknown-head")
    );
    assert!(detail.contains("\"coco\": it has ade, voc."), "{detail}");
    for field in ["k=3", "stage=c4", "scale=3"] {
        let (status, ..) = refused(&format!("/v1/segmentations?method=head:voc&{field}")).await;
        assert_eq!(status, 400, "{field}");
    }
    let regions = setup
        .post("/v1/regions?method=head:voc", "application/json")
        .await;
    let regions: Value = regions.json().await.unwrap();
    assert!(
        !regions["regions"].as_array().unwrap().is_empty(),
        "{regions}"
    );
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_replaced_only_where_that_is_wanted_and_a_damaged_one_is_not_served() {
    let setup = Setup::new().await;
    let what = (HeadKind::Linear, Stage::C5, 224);
    setup.add("voc", what, Existing::Keep).unwrap();
    let served = setup.until_served().await;
    let again = setup
        .add("voc", what, Existing::Keep)
        .unwrap_err()
        .to_string();
    assert!(again.contains("has a head voc already"), "{again}");
    assert_eq!(served["digest"], setup.model().digest());
    setup
        .add("voc", (HeadKind::Fcn, Stage::C4, 224), Existing::Replace)
        .unwrap();
    let served = setup.until_served().await;
    assert_eq!(served["segmentation_heads"]["voc"]["kind"], "fcn");

    // What does not fit is not written.
    let model = setup.model();
    let narrow = weights(HeadKind::Linear, model.manifest().embedding_size - 1);
    let update = ModelUpdate::new(&model).unwrap();
    let entry = entry(HeadKind::Linear, Stage::C5, 224);
    let error = update.add_head(&name("narrow"), entry, &narrow, Existing::Keep);
    assert!(
        matches!(error, Err(UpdateError::Model(ModelError::Head { .. }))),
        "{error:?}"
    );
    assert_eq!(setup.model().digest(), model.digest());

    // A digest that is wrong: a second server refuses the model, the first serves it on.
    let path = setup.place.join(file::head(&name("voc")));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let second = Service::start(setup.store.path(), &[]).await;
    let list = setup
        .client
        .get(second.url("/v1/models"))
        .send()
        .await
        .unwrap();
    let list: Value = list.json().await.unwrap();
    let reason = list["refused"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("heads/voc.safetensors is damaged (its SHA-256"),
        "{reason}"
    );
    second.stop().await;
    let answer = setup
        .post("/v1/segmentations?method=head:voc", "image/png")
        .await;
    assert_eq!(answer.status(), 200);
    setup.service.stop().await;
}
