//! What a server makes of the machine: images/s of a bare ONNX Runtime loop and of JPEG over HTTP, in one run, and
//! their ratio; and what an image costs before the engine, by stage.
//!
//! Results are printed and written to `target/bench/`. The bare loop has a session of its own, with ONNX Runtime's
//! defaults and full optimisation, so that nothing the server does can slow what it is held against.

use std::fs;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use detcon_core::image::{ImageLimits, decode};
use detcon_core::model::{ModelDirectory, Precision};
use detcon_core::preprocess::Scratch;
use detcon_tests::service::{self, RUNTIME, Service};
use detcon_tests::{golden, models};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde_json::{Value, json};

/// The network that is measured.
const ARCH: &str = "resnet50";
/// Clients that send one image after the other.
const CLIENTS: usize = 8;
/// How long each side is measured in a round.
const SLICE: Duration = Duration::from_secs(6);
/// Rounds; the median is reported.
const ROUNDS: usize = 3;
/// Repetitions of a stage; the median is reported.
const REPETITIONS: usize = 200;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let model = models::imported(ARCH, 0);
    write("preprocess", &preprocessing(&model));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    write("serving", &runtime.block_on(serving(&model)));
}

/// Writes a result to `target/bench/`.
fn write(name: &str, result: &Value) {
    let folder = golden::workspace().join("target/bench");
    fs::create_dir_all(&folder).expect("target/ can be written");
    let text = serde_json::to_string_pretty(result).expect("numbers and texts") + "\n";
    fs::write(folder.join(format!("{name}.json")), text).expect("target/ can be written");
}

fn preprocessing(model: &ModelDirectory) -> Value {
    let preprocess = model.manifest().preprocess;
    let (mut scratch, mut output) = (Scratch::default(), vec![0; preprocess.output_len()]);
    println!("preprocessing one image, median of {REPETITIONS}, one thread:");
    let measure = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).expect("a golden image");
        let limits = ImageLimits::default();
        let image = decode(&bytes, &limits).expect("a golden image");
        let decode_us = median_micros(|| drop(decode(&bytes, &limits)));
        let resize_us = median_micros(|| {
            preprocess
                .apply_into(&image, &mut output, &mut scratch)
                .expect("it fits");
        });
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        println!(
            "  {name:14} {}x{}: decode {decode_us:.0} µs, crop and resize {resize_us:.0} µs",
            image.width(),
            image.height()
        );
        json!({"image": name, "width": image.width(), "height": image.height(),
               "decode_us": decode_us, "crop_resize_us": resize_us})
    };
    let images: Vec<_> = golden::files("images", &["jpg"])
        .iter()
        .map(measure)
        .collect();
    json!({"repetitions": REPETITIONS, "images": images})
}

fn median_micros(mut work: impl FnMut()) -> f64 {
    let times = (0..REPETITIONS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

async fn serving(model: &ModelDirectory) -> Value {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let store = service::store(&[model]);
    let service = Service::start(store.path(), &["--log", "warn"]).await;
    let mut bare = Bare::open(model, threads);
    let image = fs::read(golden::files("images", &["jpg"]).last().expect("an image"))
        .expect("a golden image");
    over_http(&service, &image, SLICE / 3).await; // warms both up
    bare.images_per_second(1, SLICE / 3);
    let (mut singles, mut eights, mut served, mut ratios) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        singles.push(bare.images_per_second(1, SLICE));
        served.push(over_http(&service, &image, SLICE).await);
        eights.push(bare.images_per_second(8, SLICE));
        let round = singles.len() - 1;
        ratios.push(served[round] / singles[round].max(eights[round]));
    }
    service.stop().await;
    let (ratio, http) = (median(ratios), median(served));
    let (bare_1, bare_8) = (median(singles), median(eights));
    println!(
        "{ARCH} at 224, fp32, {threads} threads, median of {ROUNDS} rounds of {} s:",
        SLICE.as_secs()
    );
    println!("  JPEG over HTTP, {CLIENTS} clients ÷ the better bare loop: {ratio:.3}");
    println!(
        "  JPEG over HTTP {http:.1} images/s; bare ONNX Runtime {bare_1:.1} at batch 1, {bare_8:.1} at batch 8"
    );
    json!({"arch": ARCH, "precision": "fp32", "threads": threads, "clients": CLIENTS, "ratio": ratio,
           "http_images_per_second": http, "bare_batch_1_images_per_second": bare_1,
           "bare_batch_8_images_per_second": bare_8})
}

/// ONNX Runtime and nothing around it.
struct Bare(Session, usize);

impl Bare {
    fn open(model: &ModelDirectory, threads: usize) -> Self {
        let graph = model
            .graph(Precision::Fp32)
            .expect("a golden model has a graph");
        let open = || -> ort::Result<Session> {
            Session::builder(RUNTIME.environment())?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(threads)?
                .commit_from_file(graph)
        };
        Self(
            open().expect("a golden graph opens"),
            model.manifest().preprocess.size() as usize,
        )
    }

    fn images_per_second(&mut self, batch: usize, slice: Duration) -> f64 {
        let shape = [batch, self.1, self.1, 3];
        let images = vec![127_u8; shape.iter().product()];
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < slice {
            let input = TensorRef::from_array_view((shape, images.as_slice()))
                .expect("a tensor of that shape");
            self.0
                .run(ort::inputs!["images" => input])
                .expect("a golden graph runs");
            count += batch;
        }
        rate(count, start)
    }
}

async fn over_http(service: &Service, image: &[u8], slice: Duration) -> f64 {
    let client = reqwest::Client::new();
    let url = service.url("/v1/embeddings");
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (client, url, image) = (client.clone(), url.clone(), image.to_vec());
        tokio::spawn(async move {
            let mut count = 0;
            while start.elapsed() < slice {
                let request = client
                    .post(&url)
                    .header("content-type", "image/jpeg")
                    .body(image.clone());
                let answer = request.send().await.expect("an answer");
                assert_eq!(answer.status(), 200);
                answer.bytes().await.expect("a whole answer");
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for client in clients.collect::<Vec<_>>() {
        count += client.await.expect("a client ends");
    }
    rate(count, start)
}

#[expect(clippy::cast_precision_loss, reason = "counts of images are small")]
fn rate(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
