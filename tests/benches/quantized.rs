//! What int8 gains: the golden ResNet-50 quantized on the golden photographs beside its float32 graph, both in bare ONNX
//! Runtime, in turn and in one run.

use std::num::NonZeroUsize;
use std::time::Duration;

use detcon_core::model::Precision;
use detcon_server::cli::bench::bare::Bare;
use detcon_tests::results::median;
use detcon_tests::service::RUNTIME;
use detcon_tests::{models, results, service};
use serde_json::json;

/// Images in a batch.
const BATCH: usize = 8;
/// How long each side is measured in a round.
const SLICE: Duration = Duration::from_secs(4);
/// Rounds; the median is reported.
const ROUNDS: usize = 5;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let store = service::store(&[&models::imported("resnet50", 0)]);
    let model = models::quantized(&store.path().join("resnet50.0"), true);
    let open = |precision| {
        let graph = model.graph(precision).expect("both are there");
        let side = model.manifest().preprocess.size() as usize;
        Bare::open(&RUNTIME, &graph, side, threads).expect("a graph opens")
    };
    let (mut exact, mut integer) = (open(Precision::Fp32), open(Precision::Int8));
    rate(&mut exact); // warms both up
    rate(&mut integer);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (rate(&mut exact), rate(&mut integer)))
        .collect();
    let ratio = median(rounds.iter().map(|(exact, integer)| integer / exact));
    let (fp32, int8) = (
        median(rounds.iter().map(|it| it.0)),
        median(rounds.iter().map(|it| it.1)),
    );
    println!(
        "resnet50 at 224, bare ONNX Runtime, {threads} threads, batch {BATCH}, median of {ROUNDS} rounds:"
    );
    println!("  int8 ÷ fp32: {ratio:.2} ({int8:.1} and {fp32:.1} images/s)");
    results::write(
        "quantized",
        &json!({"ratio": ratio, "fp32_images_per_second": fp32, "int8_images_per_second": int8, "batch": BATCH}),
    );
}

/// Images a second for a while.
#[expect(clippy::cast_precision_loss, reason = "counts of images are small")]
fn rate(engine: &mut Bare) -> f64 {
    let runs = engine.runs(BATCH, SLICE).expect("a graph runs");
    let seconds: f64 = runs.iter().map(Duration::as_secs_f64).sum();
    (runs.len() * BATCH) as f64 / seconds
}
