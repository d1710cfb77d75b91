//! What `detcon-extract` makes of the machine: a ResNet-50 over photographs in a folder and in tar shards, in float32 and in
//! int8, regions and features; beside what the bare engine and decoding together would leave, both measured in the same run.
//!
//! It runs the program in `DETCON_EXTRACT`, by default `target/release/detcon-extract`, which `make bench` builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use detcon_core::image::ImageLimits;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_inference::prepared;
use detcon_server::cli::bench::bare::Bare;
use detcon_tests::results::median;
use detcon_tests::service::{self, RUNTIME};
use detcon_tests::{golden, models, results};
use serde_json::{Value, json};

/// Photographs of a run, unless `DETCON_BENCH_IMAGES` says otherwise.
const IMAGES: usize = 480;
/// Photographs of a tar shard.
const SHARD: usize = 120;
/// Images in a batch of the bare engine, and of the program.
const BATCH: u16 = 8;
/// Rounds of everything, one after the other; medians are reported.
const ROUNDS: usize = 3;
/// How long the bare engine runs in a round.
const SPAN: Duration = Duration::from_secs(6);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let program = std::env::var_os("DETCON_EXTRACT").map_or_else(
        || golden::workspace().join("target/release/detcon-extract"),
        PathBuf::from,
    );
    let images = std::env::var("DETCON_BENCH_IMAGES").ok();
    let images = images
        .and_then(|images| images.parse().ok())
        .unwrap_or(IMAGES);
    let store = service::store(&[&models::imported("resnet50", 0)]);
    let model = models::quantized(&store.path().join("resnet50.0"), true);
    let sets = Sets::make(images);
    let commands: [(&str, Precision, &[&str]); 5] = [
        ("folder", Precision::Fp32, &["embeddings"]),
        ("tar", Precision::Fp32, &["embeddings"]),
        ("folder", Precision::Int8, &["embeddings"]),
        ("tar", Precision::Fp32, &["regions", "--method", "grid"]),
        ("tar", Precision::Fp32, &["features"]),
    ];
    let measured = commands.map(|(set, precision, command)| {
        let run = Measured {
            program: &program,
            model: &model,
            input: sets.folder.path().join(set),
        };
        run.measure(precision, command, &sets.photographs)
    });
    results::write("extraction", &json!({"images": images, "runs": measured}));
}

/// The same photographs as files and in tar shards.
struct Sets {
    folder: tempfile::TempDir,
    photographs: Vec<Vec<u8>>,
}

impl Sets {
    fn make(images: usize) -> Self {
        let read = |path: &PathBuf| fs::read(path).expect("a golden image");
        let photographs: Vec<_> = golden::files("images", &["jpg"]).iter().map(read).collect();
        let folder = tempfile::tempdir_in(golden::workspace().join("target")).expect("target/");
        let [files, shards] = ["folder", "tar"].map(|name| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("target/ can be written");
            path
        });
        let all: Vec<_> = photographs
            .iter()
            .cycle()
            .take(images)
            .enumerate()
            .collect();
        for (shard, all) in all.chunks(SHARD).enumerate() {
            let file = fs::File::create(shards.join(format!("{shard:05}.tar")));
            let mut archive = tar::Builder::new(file.expect("target/ can be written"));
            for (number, bytes) in all {
                let name = format!("{number:06}.jpg");
                fs::write(files.join(&name), bytes).expect("target/ can be written");
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                let added = archive.append_data(&mut header, name, bytes.as_slice());
                added.expect("target/ can be written");
            }
            archive.finish().expect("target/ can be written");
        }
        Self {
            folder,
            photographs,
        }
    }
}

/// What is run, and on what.
struct Measured<'a> {
    program: &'a Path,
    model: &'a ModelDirectory,
    input: PathBuf,
}

impl Measured<'_> {
    /// The program in turn with what it is held against.
    fn measure(&self, precision: Precision, command: &[&str], photographs: &[Vec<u8>]) -> Value {
        let threads = available_parallelism().expect("a number of processors");
        let preprocess = self.model.manifest().preprocess;
        let graph = self.model.path().join(precision.graph_file());
        let side = preprocess.size() as usize;
        let mut bare = Bare::open(&RUNTIME, &graph, side, threads).expect("a model opens");
        let (mut engine, mut decoding, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let runs = bare.runs(BATCH.into(), SPAN).expect("a graph runs");
            let runs = runs.iter().map(|run| run.as_secs_f64() / f64::from(BATCH));
            engine.push(median(runs));
            let limits = ImageLimits::default();
            let decode = |bytes: &Vec<u8>| {
                let start = Instant::now();
                let _ = prepared(bytes, &limits, preprocess).expect("a golden image");
                start.elapsed().as_secs_f64()
            };
            let times: Vec<f64> = photographs.iter().cycle().take(200).map(decode).collect();
            decoding.push(times.iter().sum::<f64>() / 200.0);
            rates.push(self.run(precision, command));
        }
        let (engine, decoding, rate) = (median(engine), median(decoding), median(rates));
        #[expect(clippy::cast_precision_loss, reason = "processors are few")]
        let left = 1.0 / (engine + decoding / threads.get() as f64);
        let (name, set) = (
            command[0],
            self.input.file_name().unwrap_or_default().to_string_lossy(),
        );
        println!(
            "{name} of {set} in {precision}: {rate:.2} images/s; bare engine {:.2}, with decoding {left:.2}: ratio {:.3}",
            1.0 / engine,
            rate / left
        );
        json!({"command": name, "input": set, "precision": precision.to_string(), "images_per_second": rate,
               "bare_images_per_second": 1.0 / engine, "decode_ms": 1e3 * decoding,
               "left_after_decoding": left, "ratio": rate / left})
    }

    /// Images a second, as the program says.
    fn run(&self, precision: Precision, command: &[&str]) -> f64 {
        let output = tempfile::tempdir().expect("a temporary folder");
        let (name, flags) = command.split_first().expect("a command");
        let done = Command::new(self.program)
            .arg(name)
            .args([
                self.input.as_path(),
                output.path(),
                Path::new("--model"),
                self.model.path(),
            ])
            .args(flags)
            .args([
                "--precision",
                &precision.to_string(),
                "--max-batch",
                &BATCH.to_string(),
            ])
            .env("DETCON_ONNXRUNTIME", service::library())
            .output()
            .expect("make bench builds the program");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let summary: Value = serde_json::from_slice(&done.stdout).expect("a summary");
        summary["images_per_second"].as_f64().expect("a rate")
    }
}
