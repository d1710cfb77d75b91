//! What a server makes of the machine: `detcon-server bench` on a ResNet-50 and a photograph of 640×427 pixels, in float32
//! and in int8: closed loops beside the bare engine, one client alone; in float32 also requests at random below capacity
//! and above.
//!
//! It runs the program in `DETCON_SERVER`, by default `target/release/detcon-server`, which `make bench` builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use detcon_tests::{golden, models, service};

/// Requests at random, below capacity and above.
const OPEN_LOOPS: [&str; 4] = ["--open", "0.8", "--overload", "3"];

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let program = std::env::var_os("DETCON_SERVER").map_or_else(
        || golden::workspace().join("target/release/detcon-server"),
        PathBuf::from,
    );
    let store = service::store(&[&models::imported("resnet50", 0)]);
    let _ = models::quantized(&store.path().join("resnet50.0"), true);
    bench(&program, store.path(), "fp32", &OPEN_LOOPS);
    bench(&program, store.path(), "int8", &[]);
}

/// One run of the program's own bench.
fn bench(program: &Path, store: &Path, precision: &str, flags: &[&str]) {
    let photographs = golden::files("images", &["jpg"]);
    let results = golden::workspace().join("target/bench");
    std::fs::create_dir_all(&results).expect("target/ can be written");
    println!("resnet50 at 224, {precision}:");
    let status = Command::new(program)
        .arg("bench")
        .arg(photographs.last().expect("an image"))
        .arg("--models")
        .arg(store)
        .args(["--precision", precision, "--clients", "8,16,64"])
        .args(flags)
        .arg("--json")
        .arg(results.join(format!("serving.{precision}.json")))
        .status();
    assert!(status.expect("make bench builds the server").success());
}
