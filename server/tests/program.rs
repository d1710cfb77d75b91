//! The program itself: how it starts, how it refuses, how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use rustix::process::{Pid, Signal, kill_process};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_detcon-server"));
    // The path in the environment is relative to the workspace, where cargo found it.
    command.env(
        "DETCON_ONNXRUNTIME",
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../.deps/onnxruntime/libonnxruntime.so"
        ),
    );
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn store() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    demo(
        &store.path().join("try"),
        Existing::Keep,
        "tiny".parse().unwrap(),
        0,
    )
    .unwrap();
    store
}

/// Waits for the line that a ready server prints.
fn wait_until_ready(server: &mut Child) -> Vec<String> {
    let lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut seen = Vec::new();
    for line in lines {
        seen.push(line);
        if seen.last().unwrap().starts_with("try: curl") {
            break;
        }
    }
    seen
}

fn signalled(signal: Signal) -> (Vec<String>, ExitStatus) {
    let store = store();
    let mut server = program()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(store.path())
        .spawn()
        .unwrap();
    let lines = wait_until_ready(&mut server);
    kill_process(Pid::from_child(&server), signal).unwrap();
    (lines, server.wait().unwrap())
}

#[test]
fn it_prints_its_address_and_what_to_try_and_ends_well_when_asked_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let (lines, status) = signalled(signal);
        assert!(
            lines[0].starts_with("detcon-server listens on http://127.0.0.1:"),
            "{lines:?}"
        );
        assert!(lines[1].contains("/v1/embeddings"), "{lines:?}");
        assert_eq!(status.code(), Some(0), "after {signal:?}");
    }
}

#[test]
fn what_it_cannot_start_with_is_one_line_and_exit_code_1() {
    let store = store();
    let missing = store.path().join("missing");
    let here = store.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            vec!["--models", missing.to_str().unwrap()],
            "the models could not be listed",
        ),
        (
            vec!["--models", here, "--onnxruntime", "/nowhere/lib.so"],
            "--onnxruntime",
        ),
        (
            vec!["--models", here, "--listen", "192.0.2.1:1"],
            "--listen",
        ),
        (vec!["--models", here, "--log", "=!"], "--log"),
        (
            vec!["--models", here, "--default-model", "tyr"],
            "\"tyr\" is not among the models of --models: try",
        ),
    ] {
        let output = program().args(&arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(
            errors.starts_with("detcon-server: ") && errors.contains(expected),
            "{errors}"
        );
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["--nope"],
        &["--models", ".", "--max-batch", "0"],
        &["--models", ".", "--queue", "65537"],
    ] {
        assert_eq!(
            program().args(arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}
