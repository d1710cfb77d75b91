//! The program itself: what it leaves behind, and how it says no.

mod bad_input;
mod modes;
mod reports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use detcon_core::model::ModelDirectory;

fn golden(path: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    std::env::var_os("DETCON_GOLDEN_DIR")
        .map_or(default, PathBuf::from)
        .join("checkpoints")
        .join(path)
}

fn convert(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_detcon-convert"))
        .args(arguments)
        .output()
        .unwrap()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_published_checkpoint_becomes_a_whole_model_directory() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("tiny");
    let source = golden("tiny.released.npy");
    let output = convert(&["import", source.to_str().unwrap(), place.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(ModelDirectory::open(&place).unwrap().manifest().pretrained);
    assert_eq!(entries(store.path()), ["tiny"]);
}

/// A ResNet-200 takes any machine more than the second from which on there is something to see.
#[test]
fn progress_is_shown_on_a_terminal_and_nowhere_else() {
    let store = tempfile::tempdir().unwrap();
    let place = |name: &str| store.path().join(name).to_str().unwrap().to_owned();
    let (seen, quiet) = (place("seen"), place("quiet"));
    let arguments = ["--arch", "resnet200"];
    let terminal = Command::new("python3")
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .arg(env!("CARGO_BIN_EXE_detcon-convert"))
        .args(["demo", &seen])
        .args(arguments)
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&terminal.stdout);
    assert!(shown.contains("making an untrained model, "), "{shown}");
    assert!(shown.contains("seen: an untrained resnet200"), "{shown}");
    let output = convert(&[&["demo", &quiet], &arguments[..]].concat());
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// Killed at any point, an import leaves no directory that could be taken for a model, and the next one works.
#[test]
fn an_import_that_is_killed_leaves_no_half_model() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("demo");
    let arguments = ["demo", place.to_str().unwrap(), "--arch", "resnet18"];
    let staged = store.path().join(".demo.partial");
    for written in 0..=4 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_detcon-convert"))
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let files = || fs::read_dir(&staged).map_or(0, Iterator::count);
        while files() < written && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match ModelDirectory::open(&place) {
            Ok(_) => fs::remove_dir_all(&place).unwrap(), // it was faster this time
            Err(_) => assert!(!place.exists(), "half a model after {written} files"),
        }
        let visible: Vec<_> = entries(store.path())
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(visible, [""; 0]);
    }
    assert!(convert(&arguments).status.success());
    assert_eq!(entries(store.path()), ["demo"]);
}

#[test]
fn a_hostile_checkpoint_is_one_line_and_exit_code_1() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("evil");
    let source = golden("evil.os_system.npy");
    let output = convert(&["import", source.to_str().unwrap(), place.to_str().unwrap()]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), errors.lines().count()),
        (Some(1), 1),
        "{errors}"
    );
    assert!(errors.contains("posix.system"), "{errors}");
    assert_eq!(entries(store.path()), [""; 0]);
}

#[test]
fn a_name_that_no_model_can_have_and_a_place_that_is_taken_are_refused() {
    let store = tempfile::tempdir().unwrap();
    let taken = store.path().to_str().unwrap();
    for place in [
        format!("{taken}/.hidden"),
        format!("{taken}/a b"),
        taken.to_owned(),
        "/".to_owned(),
    ] {
        let output = convert(&["demo", &place, "--arch", "tiny"]);
        assert_eq!(output.status.code(), Some(1), "{place}: {output:?}");
    }
    assert_eq!(entries(store.path()), [""; 0]);
}

#[test]
fn an_untrained_model_stands_in_for_a_checkpoint_that_cannot_be_reached() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("default");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/r50.npy", listener.local_addr().unwrap());
    drop(listener); // nobody listens there any more
    let arguments = [
        "ensure",
        place.to_str().unwrap(),
        "--from",
        &address,
        "--arch",
        "tiny",
    ];
    let output = convert(&arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), errors.lines().count()),
        (Some(0), 1),
        "{errors}"
    );
    assert!(
        errors.contains("could not be reached") && errors.contains("untrained"),
        "{errors}"
    );
    assert!(!ModelDirectory::open(&place).unwrap().manifest().pretrained);
    // The next call tries again, and takes the checkpoint where it is there now.
    let source = golden("tiny.released.npy");
    let arguments = [
        "ensure",
        place.to_str().unwrap(),
        "--from",
        source.to_str().unwrap(),
    ];
    assert_eq!(convert(&arguments).status.code(), Some(0));
    assert!(ModelDirectory::open(&place).unwrap().manifest().pretrained);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["import"],
        &["demo", "x", "--arch", "resnet51"],
        &["import", "ftp://x/y", "z"],
    ] {
        assert_eq!(convert(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
