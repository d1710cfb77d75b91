//! `detcon-server bench` on an untrained network.

use std::path::Path;
use std::process::{Command, Output};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use serde_json::Value;

const LIBRARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../.deps/onnxruntime/libonnxruntime.so"
);
const PHOTOGRAPH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../core/tests/fixtures/baseline_420.jpg"
);

fn store(models: &[&str]) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for name in models {
        let place = store.path().join(name);
        demo(&place, Existing::Keep, "tiny".parse().unwrap(), 0).unwrap();
    }
    store
}

fn bench(store: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_detcon-server"))
        .env("DETCON_ONNXRUNTIME", LIBRARY)
        .arg("bench")
        .arg("--models")
        .arg(store)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_bench_measures_a_server_of_its_own() {
    let store = store(&["try"]);
    let json = store.path().join("bench.json");
    let quick = [
        "--seconds=1",
        "--rounds=1",
        "--clients=1,3",
        "--open=0.3",
        "--overload=3",
        "--open-seconds=1",
    ];
    let mut arguments = vec![PHOTOGRAPH, "--json", json.to_str().unwrap()];
    arguments.extend(quick);
    arguments.extend(["--", "--queue", "8"]);
    let output = bench(store.path(), &arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let positive = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        assert!(value.is_some_and(|it| it > 0.0), "{pointer}: {value:?}");
    };
    for pointer in [
        "/bare/batch_1",
        "/bare/batched",
        "/bare/decode_ms",
        "/single/p50_ms",
        "/closed/1/images_per_second",
        "/closed/1/ratio",
        "/open/requests",
        "/open/queue_p99_ms",
        "/overload/answered",
        "/overload/livez_p99_ms",
        "/overload/memory_peak",
    ] {
        positive(pointer);
    }
    for pointer in [
        "/closed/0/failed",
        "/overload/failed",
        "/overload/without_retry_after",
    ] {
        assert_eq!(report.pointer(pointer), Some(&Value::from(0)), "{pointer}");
    }
    assert_eq!(report["closed"][1]["clients"], 3);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("3 clients ÷ bare engine: "), "{text}");
}

#[test]
fn what_cannot_be_measured_is_said_in_a_line() {
    let store = store(&["one", "two"]);
    let cases: [(&[&str], &str); 4] = [
        (&[PHOTOGRAPH], "name one with --model"),
        (&["missing.jpg"], "missing.jpg cannot be read"),
        (
            &[PHOTOGRAPH, "--model=one", "--", "--max-batch=0"],
            "the server ended before it listened",
        ),
        (&[PHOTOGRAPH, "--model=three"], "three"),
    ];
    for (arguments, part) in cases {
        let output = bench(store.path(), arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        let last = message.lines().last().unwrap_or_default();
        assert!(last.contains(part), "{arguments:?}: {message}");
    }
    let output = bench(store.path(), &[PHOTOGRAPH, "--clients=none"]);
    assert_eq!(output.status.code(), Some(2));
}
