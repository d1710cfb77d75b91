//! `detcon-convert inspect`, `verify` and `list`: what they print, as text and as JSON.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use super::{convert, golden};

fn json(arguments: &[&str]) -> Value {
    let output = convert(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_checkpoint_is_shown_with_its_network_the_reason_tensors_globals_and_digest() {
    let file = golden("tiny.byol.pkl");
    let file = file.to_str().unwrap();
    let report = json(&["inspect", file, "--json"]);
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(report["bytes"], bytes.len());
    assert_eq!(report["sha256"], detcon_core::digest::sha256(&bytes));
    assert_eq!(report["network"], "tiny");
    let reason = "modules below tiny_res_net, a stem of 64 channels, no final_batchnorm";
    assert_eq!(report["reason"], reason);
    assert_eq!(report["problem"], Value::Null);
    let layout = report["layout"].as_str().unwrap();
    assert!(layout.contains("_ByolExperimentState"), "{layout}");
    let globals = report["globals"].as_array().unwrap();
    assert!(!globals.is_empty() && globals.iter().all(|it| it["allowed"] == true));
    let tensors = report["tensors"].as_array().unwrap();
    let is_stem = |it: &&Value| it["key"] == "tiny_res_net/~/initial_conv/w";
    let stem = tensors.iter().find(is_stem).unwrap();
    assert_eq!(stem["shape"], serde_json::json!([7, 7, 3, 64]));
    assert_eq!(stem["dtype"], "float32");

    let text = String::from_utf8(convert(&["inspect", file]).stdout).unwrap();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("tensor "))
            .count(),
        tensors.len()
    );
    assert!(text.contains(&format!("reason    {reason}")), "{text}");
}

#[test]
fn a_hostile_file_is_looked_into_as_well() {
    let file = golden("evil.os_system.npy");
    let report = json(&["inspect", file.to_str().unwrap(), "--json"]);
    assert!(report["problem"].as_str().unwrap().contains("posix.system"));
    let globals = report["globals"].as_array().unwrap();
    let refused: Vec<_> = globals.iter().filter(|it| it["allowed"] == false).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["name"], "posix.system");
    let text = convert(&["inspect", file.to_str().unwrap()]).stdout;
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("REFUSED posix.system")
    );
}

#[test]
fn a_verified_model_is_reported_as_json() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("tiny");
    let (file, place) = (golden("tiny.released.npy"), place.to_str().unwrap());
    let output = convert(&["import", file.to_str().unwrap(), place]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let default = format!(
        "{}/../.deps/onnxruntime/libonnxruntime.so",
        env!("CARGO_MANIFEST_DIR")
    );
    let library = std::env::var("DETCON_ONNXRUNTIME").unwrap_or(default);
    let report = json(&["verify", place, "--json", "--onnxruntime", &library]);
    assert_eq!(
        (&report["name"], &report["faults"]),
        (&"tiny".into(), &Value::Array(Vec::new()))
    );
    let output = &report["output"];
    assert!(
        output["worst"].as_f64() <= output["tolerance"].as_f64(),
        "{report}"
    );
}

/// Root reads whatever the mode says, so the file is a folder: that cannot be read by anyone.
#[test]
fn a_model_that_cannot_be_read_is_told_so_and_not_to_be_written_elsewhere() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("tiny");
    let file = golden("tiny.released.npy");
    let output = convert(&["import", file.to_str().unwrap(), place.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::remove_file(place.join("manifest.json")).unwrap();
    std::fs::create_dir(place.join("manifest.json")).unwrap();
    let out = store.path().join("out");
    for arguments in [
        &["verify", place.to_str().unwrap()][..],
        &[
            "export",
            place.to_str().unwrap(),
            "--to",
            "torchvision",
            out.to_str().unwrap(),
        ],
    ] {
        let output = convert(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), told.lines().count()),
            (Some(1), 1),
            "{told}"
        );
        assert!(
            told.contains("give a model directory whose files can be read"),
            "{told}"
        );
        assert!(!told.contains("may be written"), "{told}");
    }
}

#[test]
fn an_inspected_state_dict_shows_its_network_and_the_command() {
    let store = tempfile::tempdir().unwrap();
    let (place, file) = (
        store.path().join("tiny"),
        store.path().join("weights.safetensors"),
    );
    let golden = golden("tiny.released.npy");
    convert(&["import", golden.to_str().unwrap(), place.to_str().unwrap()]);
    std::fs::copy(place.join("model.safetensors"), &file).unwrap();
    let path = file.to_str().unwrap();
    let report = json(&["inspect", path, "--json"]);
    assert_eq!(report["networks"][0]["network"], "tiny");
    assert_eq!(report["networks"][0]["taken"], true);
    let command = report["commands"][0].as_str().unwrap().to_owned();
    assert_eq!(
        command,
        format!("detcon-convert import {path} models/weights")
    );
    let text = String::from_utf8(convert(&["inspect", path]).stdout).unwrap();
    assert!(text.contains(&format!("import    {command}")), "{text}");
    // What it says is what works.
    let words: Vec<&str> = command.split(' ').skip(1).take(2).collect();
    let again = store.path().join("again");
    let output = convert(&[words[0], words[1], again.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn published_checkpoints_are_listed_with_their_short_names() {
    const LISTING: &str = r#"{"items": [
        {"name": "coco/resnet50.npy", "size": "7"},
        {"name": "resnet50_detcon_b_imagenet_1k.npy", "size": "149000000"}
    ]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            assert!(request.starts_with(b"GET /storage/v1/b/dm-detcon/o?"));
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{LISTING}",
                LISTING.len()
            )
            .unwrap();
        }
    });
    let listed = json(&["list", "--endpoint", &endpoint, "--json"]);
    assert_eq!(listed[0]["name"], "coco/resnet50.npy");
    assert_eq!(listed[1]["bytes"], 149_000_000);
    let output = convert(&["list", "--endpoint", &endpoint]);
    server.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("coco/resnet50.npy") && !lines[0].contains("detcon:"));
    assert!(lines[1].ends_with("  detcon:resnet50-imagenet"), "{text}");
}
