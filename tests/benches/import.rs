//! What an import costs: the published layout of a ResNet-200 becomes a model directory, beside `cp` and `sha256sum` of
//! the same file, in turn and in one run; and the most memory that it takes.
//!
//! The file is in the page cache for both. The import digests its source, writes weights and graph (1.7 times the
//! source), digests those and every tensor, brings all of it to the disk (`cp` does not) and makes the self-check.
//! It is the program in `DETCON_CONVERT`, by default `target/release/detcon-convert`, which `make bench` builds.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use detcon_tests::results::median;
use detcon_tests::{golden, results};
use serde_json::json;

const ARCH: &str = "resnet200";
/// Rounds; the median is reported.
const ROUNDS: usize = 5;
/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(2);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let source = golden::checkpoint(ARCH, 0, "released");
    let program = std::env::var_os("DETCON_CONVERT").map_or_else(
        || golden::workspace().join("target/release/detcon-convert"),
        PathBuf::from,
    );
    let bytes = std::fs::read(&source)
        .expect("the golden generator made it")
        .len(); // into the page cache
    let (mut ratios, mut imports, mut copies, mut peak) = (vec![], vec![], vec![], 0);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(golden::workspace().join("target")).expect("a folder");
        let plain = copy(&source, folder.path());
        // What `cp` left to be written must not wait in front of what the import brings to the disk.
        run(&mut Command::new("sync"));
        let (imported, memory) = import(&program, &source, folder.path());
        ratios.push(imported / plain);
        imports.push(imported);
        copies.push(plain);
        peak = peak.max(memory);
    }
    let (ratio, import, copy) = (median(ratios), median(imports), median(copies));
    #[expect(
        clippy::cast_precision_loss,
        reason = "lengths of files are below 2^53"
    )]
    let (megabytes, memory) = (bytes as f64 / 1e6, peak as f64 / bytes as f64);
    println!("import of {ARCH}, {megabytes:.0} MB, median of {ROUNDS} rounds:");
    println!("  time ÷ cp and sha256sum of the same file: {ratio:.2}");
    println!(
        "  most resident memory, pages of the mapped file among it ÷ the file's size: {memory:.2}"
    );
    println!(
        "  import {import:.2} s, {:.0} MB/s; cp and sha256sum {copy:.2} s, {:.0} MB/s",
        megabytes / import,
        megabytes / copy
    );
    results::write(
        "import",
        &json!({"arch": ARCH, "bytes": bytes, "time_ratio": ratio, "memory_ratio": memory, "import_seconds": import,
                "copy_seconds": copy, "peak_memory_bytes": peak}),
    );
}

/// Seconds that `cp` and `sha256sum` take.
fn copy(source: &Path, folder: &Path) -> f64 {
    let (start, copy) = (Instant::now(), folder.join("copy"));
    run(Command::new("cp").arg(source).arg(&copy));
    run(Command::new("sha256sum").arg(&copy));
    start.elapsed().as_secs_f64()
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status();
    assert!(
        status.expect("coreutils are there").success(),
        "{command:?}"
    );
}

/// Seconds that an import takes, and the bytes of memory.
fn import(program: &Path, source: &Path, folder: &Path) -> (f64, u64) {
    let start = Instant::now();
    let mut process = Command::new(program)
        .arg("import")
        .arg(source)
        .arg(folder.join("model"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("make bench builds the converter");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(&process));
        if let Some(status) = process.try_wait().expect("a process of our own") {
            break status;
        }
        std::thread::sleep(POLL);
    };
    assert!(status.success());
    (start.elapsed().as_secs_f64(), peak)
}

/// Most resident memory of a process so far; it only grows, so the last look tells.
fn memory(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let kibibytes = status.ok().and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    kibibytes.unwrap_or(0) << 10 // a process that has just ended tells nothing any more
}
