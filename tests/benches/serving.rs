//! What a server makes of the machine: `detcon-server bench` on a ResNet-50 and a photograph of 640×427 pixels, so closed
//! loops beside the bare engine, one client alone, requests at random below capacity and above.
//!
//! It runs the program in `DETCON_SERVER`, by default `target/release/detcon-server`, which `make bench` builds.

use std::path::PathBuf;
use std::process::Command;

use detcon_tests::{golden, models, service};

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let workspace = golden::workspace();
    let program = std::env::var_os("DETCON_SERVER").map_or_else(
        || workspace.join("target/release/detcon-server"),
        PathBuf::from,
    );
    let store = service::store(&[&models::imported("resnet50", 0)]);
    let photographs = golden::files("images", &["jpg"]);
    let results = workspace.join("target/bench");
    std::fs::create_dir_all(&results).expect("target/ can be written");
    println!("resnet50 at 224, fp32:");
    let status = Command::new(program)
        .arg("bench")
        .arg(photographs.last().expect("an image"))
        .arg("--models")
        .arg(store.path())
        .args(["--clients", "8,16,64", "--open", "0.8", "--overload", "3"])
        .arg("--json")
        .arg(results.join("serving.json"))
        .status();
    assert!(status.expect("make bench builds the server").success());
}
