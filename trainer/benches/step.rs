//! What a step of ResNet-50 costs on the CPU, at upstream's settings with a batch of 8: forward (both networks, both
//! views, the loss), backward, update (optimizer and target), and data (two augmented views of the golden shards'
//! photographs), in float32 and bfloat16; and `sanity` as a whole process.
//!
//! The published code takes 9.5 s a step here once compiled (11.6 minutes), and 70 s for `sanity`, uncompiled.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use detcon_tests::results::median;
use detcon_tests::{golden, results};
use detcon_trainer::device::keep_memory;
use detcon_trainer::learner::Batch;
use detcon_trainer::loader::Loader;
use detcon_trainer::recipe::Recipe;
use serde_json::{Value, json};
use tch::{Device, Tensor};

/// Steps; the first is not counted, of the others the median is.
const STEPS: usize = 4;
/// Rounds of `sanity`.
const ROUNDS: usize = 3;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    keep_memory();
    let sanity = sanity();
    println!("sanity: {sanity:.1} s (published code: 70 s)");
    let [float32, bfloat16] = ["float32", "bfloat16"].map(|precision| {
        let parts = step(precision);
        println!("{precision}: {parts} (published code: 9.5 s a step)");
        parts
    });
    let result = json!({"sanity_s": sanity, "float32": float32, "bfloat16": bfloat16});
    results::write("step", &result);
}

/// Seconds of the program in `DETCON_TRAIN`, by default `target/release/detcon-train`, which `make bench` builds.
fn sanity() -> f64 {
    let program = std::env::var_os("DETCON_TRAIN").map_or_else(
        || golden::workspace().join("target/release/detcon-train"),
        PathBuf::from,
    );
    median((0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let output = Command::new(&program)
            .arg("sanity")
            .output()
            .expect("`make bench` builds it");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        begin.elapsed().as_secs_f64()
    }))
}

/// Seconds of each part of a step.
fn step(precision: &str) -> Value {
    let settings = ["batch=8".to_owned(), format!("precision={precision}")];
    let recipe = Recipe::parse("", &settings).expect("upstream's settings");
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut learner = recipe.learner(recipe.batch * 100, Device::Cpu);
    let mut parts: [Vec<f64>; 4] = Default::default();
    for number in 0..STEPS {
        let (loader, batch, data) = batch(&recipe, number, threads);
        drop(loader); // with what it had begun
        let (loss, forward) = timed(|| learner.loss(&batch));
        let names: Vec<String> = learner.online().weights().keys().cloned().collect();
        let (gradients, backward) = timed(|| {
            let weights: Vec<&Tensor> = learner.online().weights().values().collect();
            Tensor::run_backward(&[&loss], &weights, false, false)
        });
        let gradients = names.into_iter().zip(gradients).collect();
        let ((), update) = timed(|| learner.update(&gradients));
        if number > 0 {
            for (part, seconds) in parts.iter_mut().zip([forward, backward, update, data]) {
                part.push(seconds.as_secs_f64());
            }
        }
    }
    let [forward, backward, update, data] = parts.map(median);
    json!({
        "forward_s": forward,
        "backward_s": backward,
        "update_s": update,
        "data_s": data,
        "step_s": forward + backward + update,
    })
}

/// A batch with nothing prefetched, and its time: what data cost where nothing else goes on.
fn batch(recipe: &Recipe, number: usize, threads: NonZeroUsize) -> (Loader, Batch, Duration) {
    let shards = golden::directory().join("tfrecord");
    let first = number as u64;
    let begin = Instant::now();
    let (_, mut loader) =
        Loader::open(&shards, *recipe, first, threads).expect("the golden shards");
    let batch = loader.next().expect("a batch").expect("golden images");
    let batch = batch.to_device(Device::Cpu);
    (loader, batch, begin.elapsed())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}
