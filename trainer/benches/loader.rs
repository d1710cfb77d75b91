//! What the loader makes a second on one thread: samples of two views each, of the golden shards' photographs, at
//! upstream's settings. Colours are changed later, on the device.
//!
//! The published pipeline, on tf.data, makes 206 a second and core here, its colours included.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use detcon_tests::results::median;
use detcon_tests::{golden, results};
use detcon_trainer::loader::Loader;
use detcon_trainer::recipe::Recipe;
use serde_json::json;

/// Images of a batch.
const BATCH: u64 = 64;
/// Batches that are measured.
const BATCHES: usize = 8;
/// The published pipeline.
const PUBLISHED: f64 = 206.0;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let recipe = Recipe::parse(&format!("batch = {BATCH}"), &[]).expect("a recipe");
    let shards = golden::directory().join("tfrecord");
    let (_, mut loader) =
        Loader::open(&shards, recipe, 0, NonZeroUsize::MIN).expect("the golden shards");
    let mut next = || loader.next().expect("a batch").expect("golden images");
    // Those that were made ahead do not count: after so many the loader is only as fast as its thread.
    for _ in 0..4 {
        next();
    }
    let seconds = (0..BATCHES).map(|_| {
        let begin = Instant::now();
        next();
        begin.elapsed()
    });
    let seconds: Vec<Duration> = seconds.collect();
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let speed = BATCH as f64 / median(seconds.iter().map(Duration::as_secs_f64));
    println!(
        "loader: {speed:.0} samples a second on one thread, {:.2} times the published pipeline's",
        speed / PUBLISHED
    );
    results::write("loader", &json!({ "samples_per_second": speed }));
}
