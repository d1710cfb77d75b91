//! What the loader makes a second on one thread: samples of two views each, of the golden shards' photographs, at
//! upstream's settings. Colours are changed later, on the device; here on one thread of the CPU, for a second figure.
//!
//! The published pipeline, on tf.data, makes 206 a second and core here, its colours included.

use std::num::NonZeroUsize;
use std::time::Instant;

use detcon_tests::results::median;
use detcon_tests::{golden, results};
use detcon_trainer::loader::Loader;
use detcon_trainer::recipe::Recipe;
use rayon::ThreadPoolBuilder;
use serde_json::json;
use tch::Device;

/// Images of a batch.
const BATCH: u64 = 64;
/// Batches that are measured.
const BATCHES: usize = 8;
/// Times that the colours of a batch are measured.
const COLOURED: usize = 3;
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
    let loading = median((0..BATCHES).map(|_| seconds(&mut next)));
    let batch = next();
    drop(loader); // with what it had begun
    tch::set_num_threads(1);
    let one = ThreadPoolBuilder::new().num_threads(1).build();
    let one = one.expect("a thread starts");
    let colour = || one.install(|| batch.to_device(Device::Cpu));
    let colours = median((0..COLOURED).map(|_| seconds(colour)));
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let [loader, coloured] = [loading, loading + colours].map(|it| BATCH as f64 / it);
    println!(
        "loader: {loader:.0} samples a second on one thread, {coloured:.0} with their colours, {:.2} times the published \
         pipeline's",
        coloured / PUBLISHED
    );
    let result = json!({"samples_per_second": loader, "with_colours_per_second": coloured});
    results::write("loader", &result);
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64()
}
