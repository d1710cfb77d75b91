//! What the loader makes a second on one thread: samples of two views each, of the golden shards' photographs, at
//! upstream's settings. Colours are changed later, where the networks are; here on one thread of the CPU, for a second
//! figure: image by image, as runs on a CPU do it, and for a third by libtorch in parts of a batch, as a GPU does it.
//!
//! The published pipeline, on tf.data, makes 206 a second and core here, its colours included.

use std::num::NonZeroUsize;
use std::time::Instant;

use detcon_tests::results::median;
use detcon_tests::{golden, results};
use detcon_trainer::augment::apply;
use detcon_trainer::loader::{HostBatch, Loader};
use detcon_trainer::recipe::Recipe;
use rayon::ThreadPoolBuilder;
use serde_json::json;
use tch::{Device, Kind, Tensor};

/// Images of a batch.
const BATCH: u64 = 64;
/// Batches that are measured.
const BATCHES: usize = 8;
/// Times that the colours of a batch are measured.
const COLOURED: usize = 3;
/// Images whose colours libtorch changes at once.
const IN_CACHE: usize = 4;
/// Upstream's side of a view.
const SIDE: i64 = 224;
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
    let batchwise = median((0..COLOURED).map(|_| seconds(|| in_parts(&batch))));
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let [loader, coloured, batchwise] =
        [loading, loading + colours, loading + batchwise].map(|it| BATCH as f64 / it);
    println!(
        "loader: {loader:.0} samples a second on one thread, {coloured:.0} with their colours, {:.2} times the published \
         pipeline's and {:.2} times as many as with libtorch's ({batchwise:.0})",
        coloured / PUBLISHED,
        coloured / batchwise
    );
    let result = json!({
        "samples_per_second": loader,
        "with_colours_per_second": coloured,
        "with_colours_of_libtorch_per_second": batchwise,
    });
    results::write("loader", &result);
}

/// Both views of all images, some at a time: with the copies on the way they stay in the processor's cache.
fn in_parts(batch: &HostBatch) {
    for view in [0, 1] {
        for images in batch.images().chunks(IN_CACHE) {
            let views = images.iter().map(|image| &image.views[view]);
            let pixels: Vec<&[u8]> = views.clone().map(|view| view.pixels.as_slice()).collect();
            let plans: Vec<_> = views.map(|view| view.plan.clone()).collect();
            let pixels = Tensor::from_slice(&pixels.concat()).view([-1, SIDE, SIDE, 3]);
            let channels = pixels.permute([0, 3, 1, 2]).contiguous();
            let _ = apply(&(channels.to_kind(Kind::Float) / 255.0), &plans);
        }
    }
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64()
}
