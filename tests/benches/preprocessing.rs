//! What an image costs before the engine, by stage, on one thread.

use std::fs;
use std::time::Instant;

use detcon_core::image::{ImageLimits, decode};
use detcon_core::model::ModelDirectory;
use detcon_core::preprocess::Scratch;
use detcon_tests::results::median;
use detcon_tests::{golden, models, results};
use serde_json::{Value, json};

/// Repetitions of a stage; the median is reported.
const REPETITIONS: usize = 200;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let model = models::imported("resnet50", 0);
    results::write("preprocessing", &preprocessing(&model));
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
    median(times)
}
