use std::path::Path;
use std::process::{Command, Output, Stdio};

use detcon_tests::golden::directory;

fn detcon_train(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.args(arguments).output().unwrap()
}

#[test]
fn sanity_takes_a_step_of_either_method() {
    for method in ["detcon-b", "detcon-s"] {
        let method = format!("method={method}");
        let output = detcon_train(&[
            "sanity",
            "--set",
            "arch=tiny",
            "--set",
            "image_size=96",
            "--set",
            &method,
        ]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("tiny 96 batch 4: loss "), "{said}");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_one_line_that_names_it() {
    let output = detcon_train(&["sanity", "--set", "lossy=1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("unknown field `lossy`") && said.lines().count() == 1,
        "{said}"
    );
}

/// The first signal after the first step: the step that it meets is the last, and it is saved.
#[test]
fn a_run_that_is_told_to_stop_saves_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/tiny.toml");
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.args(["pretrain", "--set", "duration.steps=100000", "--recipe"]);
    program
        .arg(recipe)
        .arg("--data")
        .arg(directory().join("tfrecord"));
    program
        .arg("--run")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let running = program.spawn().unwrap();
    let metrics = folder.path().join("metrics.jsonl");
    while std::fs::metadata(&metrics).map_or(0, |file| file.len()) == 0 {
        std::thread::yield_now();
    }
    let kill = Command::new("kill")
        .arg(running.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.starts_with("stopped after "),
        "{said}"
    );
    let taken = std::fs::read_to_string(metrics).unwrap().lines().count();
    let saved = folder
        .path()
        .join(format!("checkpoints/{taken:08}/state.json"));
    assert!(saved.is_file(), "no {}", saved.display());
}
