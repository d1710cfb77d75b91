//! What masks cost: Felzenszwalb's segments of the golden photographs beside scikit-image's, one thread each, in one
//! run; and how many images a second `detcon-train masks` turns into shards, reading, decoding and writing included.
//!
//! It runs the program in `DETCON_TRAIN`, by default `target/release/detcon-train`, and `python3` with the packages in
//! `.deps/scikit-image`; `make bench` brings both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use detcon_core::image::{ImageLimits, RgbImage, decode};
use detcon_core::segment::{Felzenszwalb, Workspace};
use detcon_tests::results::median;
use detcon_tests::{golden, results};
use serde_json::{Value, json};

/// Upstream's settings.
const SCALE: f64 = 1000.0;
const SIGMA: f64 = 0.8;
const MIN_SIZE: u32 = 1000;
/// Repetitions of an image; the median is reported.
const REPETITIONS: usize = 5;
/// Copies of each photograph in the data set.
const COPIES: usize = 100;
/// Training images of ImageNet (ILSVRC 2012).
const IMAGENET: f64 = 1_281_167.0;
/// Cores that upstream's two to three days are for.
const CORES: f64 = 16.0;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let result = json!({"felzenszwalb": felzenszwalb(), "masks": masks()});
    results::write("masks", &result);
}

/// Both on the same pixels.
fn felzenszwalb() -> Value {
    let paths = golden::files("images", &["png"]);
    let theirs = scikit_image(&paths);
    let method = Felzenszwalb::new(SCALE, SIGMA, MIN_SIZE).expect("upstream's settings");
    let mut workspace = Workspace::default();
    println!("Felzenszwalb's segments, one thread, median of {REPETITIONS}:");
    let (mut images, mut sums) = (Vec::new(), [0.0, 0.0]);
    for (path, theirs) in paths.iter().zip(theirs) {
        let image = photograph(path);
        let ours = median((0..REPETITIONS).map(|_| {
            let start = Instant::now();
            let map = method.segment(&image, &mut workspace);
            drop(map.expect("a photograph can be segmented"));
            start.elapsed().as_secs_f64()
        }));
        let (width, height) = (image.width(), image.height());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!(
            "  {name:14} {width}x{height}: scikit-image {:.0} ms ÷ ours {:.1} ms = {:.1}",
            theirs * 1e3,
            ours * 1e3,
            theirs / ours
        );
        sums = [sums[0] + theirs, sums[1] + ours];
        images.push(
            json!({"image": name, "width": width, "height": height, "scikit_image_seconds": theirs,
                           "seconds": ours, "ratio": theirs / ours}),
        );
    }
    println!("  all of them: {:.1}", sums[0] / sums[1]);
    json!({"images": images, "ratio": sums[0] / sums[1]})
}

fn photograph(path: &Path) -> RgbImage {
    let bytes = fs::read(path).expect("a golden image");
    decode(&bytes, &ImageLimits::default()).expect("a golden image")
}

/// Median seconds of scikit-image for each image.
fn scikit_image(paths: &[PathBuf]) -> Vec<f64> {
    let workspace = golden::workspace();
    let output = Command::new("python3")
        .arg(workspace.join("tests/python/time_felzenszwalb.py"))
        .args(["--scale", &SCALE.to_string(), "--sigma", &SIGMA.to_string()])
        .args(["--min-size", &MIN_SIZE.to_string()])
        .args(["--repetitions", &REPETITIONS.to_string()])
        .args(paths)
        .env("PYTHONPATH", workspace.join(".deps/scikit-image"))
        .envs(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|name| (name, "1")))
        .output()
        .expect("python3 is there");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds: Vec<f64> = text
        .lines()
        .map(|line| line.parse().expect("a line holds seconds"))
        .collect();
    seconds
        .chunks(REPETITIONS)
        .map(|image| median(image.iter().copied()))
        .collect()
}

/// The whole program, on copies of the golden JPEGs.
fn masks() -> Value {
    let program = std::env::var_os("DETCON_TRAIN").map_or_else(
        || golden::workspace().join("target/release/detcon-train"),
        PathBuf::from,
    );
    let folder = tempfile::tempdir_in(golden::workspace().join("target")).expect("a folder");
    let class = folder.path().join("images/photographs");
    fs::create_dir_all(&class).expect("a folder");
    let photographs = golden::files("images", &["jpg"]);
    let mut pixels = 0.0;
    for path in &photographs {
        let image = photograph(path);
        pixels += f64::from(image.width()) * f64::from(image.height());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for copy in 0..COPIES {
            fs::hard_link(path, class.join(format!("{copy}.{name}")))
                .or_else(|_| fs::copy(path, class.join(format!("{copy}.{name}"))).map(drop))
                .expect("target/ can be written");
        }
    }
    let count = photographs.len() * COPIES;
    #[expect(clippy::cast_precision_loss, reason = "a count of images is small")]
    let (images, pixels) = (count as f64, pixels / photographs.len() as f64);
    let start = Instant::now();
    let output = Command::new(program)
        .args(["masks", "--threads", "1", "--shards", "4", "--input"])
        .arg(folder.path().join("images"))
        .arg("--output")
        .arg(folder.path().join("shards"))
        .output()
        .expect("make bench builds the trainer");
    let seconds = start.elapsed().as_secs_f64();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let rate = images / seconds;
    let minutes = IMAGENET / rate / CORES / 60.0;
    println!(
        "detcon-train masks, {count} photographs of {pixels:.0} pixels on average, one thread:"
    );
    println!(
        "  {rate:.1} images/s; ImageNet's training images on {CORES} such cores in {minutes:.0} minutes"
    );
    json!({"images": count, "pixels": pixels, "images_per_second_and_core": rate, "imagenet_minutes_on_16_cores": minutes})
}
