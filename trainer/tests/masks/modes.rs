//! What is written may be read by whomever the umask lets read it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::program::{command, fixture, folder};

/// Holds everything at and below `path` against the umask; how many files there are.
fn files(path: &Path, umask: u32) -> usize {
    let found = path.symlink_metadata().unwrap();
    let usual = if found.is_dir() { 0o777 } else { 0o666 };
    let mode = found.permissions().mode() & 0o777;
    let shown = path.display();
    assert_eq!(
        mode,
        usual & !umask,
        "{shown} is {mode:o} under {umask:03o}"
    );
    if !found.is_dir() {
        return 1;
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .map(|entry| files(&entry.unwrap().path(), umask))
        .sum()
}

/// A process has one umask for all its threads, so the program runs under each in a process of its own.
#[test]
fn shards_and_what_lies_beside_them_have_the_mode_that_the_umask_leaves() {
    let input = folder([("a/1.jpg", fixture("baseline_420.jpg"))]);
    for umask in [0o022, 0o002, 0o000, 0o027, 0o077] {
        let output = tempfile::tempdir().unwrap();
        let set = output.path().join("set");
        let masks = command(input.path(), &set, &["--shards", "1"]);
        let ran = Command::new("sh")
            .args(["-c", "umask \"$0\"; exec \"$@\"", &format!("{umask:o}")])
            .arg(masks.get_program())
            .args(masks.get_args())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert!(files(&set, umask) > 2, "a shard, the manifest and a report");
    }
}
