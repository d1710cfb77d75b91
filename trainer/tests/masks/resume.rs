//! Runs that were stopped, shared between machines, or begun otherwise.

use std::fs;
use std::path::Path;
use std::thread;

use tempfile::TempDir;

use crate::program::{command, error, fixture, folder, photographs, run, shard_bytes, summary};

const SHARDS: [&str; 2] = ["--shards", "6"];

/// Fifty small images.
fn images() -> TempDir {
    let jpeg = fixture("baseline_420.jpg");
    let names: Vec<_> = (0..50).map(|n| format!("{}/{n:02}.jpg", n % 3)).collect();
    folder(names.iter().map(|name| (name.as_str(), &jpeg)))
}

fn modified(path: &Path) -> std::time::SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn a_run_with_half_of_its_shards_makes_the_other_half_and_touches_no_finished_one() {
    let input = images();
    let (whole, half) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for output in [&whole, &half] {
        run(input.path(), output.path(), &SHARDS, 0);
    }
    // What a kill leaves: shards that are missing, a report ahead of its shard, a hidden file.
    for index in [1, 3, 5] {
        let name = format!("train-{index:05}-of-00006");
        fs::remove_file(half.path().join(&name)).unwrap();
        fs::write(
            half.path().join(format!(".{name}.partial")),
            b"half a record",
        )
        .unwrap();
    }
    fs::remove_file(half.path().join("train.masks/00005.json")).unwrap();
    let kept = half.path().join("train-00002-of-00006");
    let before = modified(&kept);
    let summary = summary(input.path(), half.path(), &SHARDS, 0);
    assert_eq!(
        (&summary["shards"]["kept"], &summary["shards"]["written"]),
        (&3.into(), &3.into())
    );
    assert_eq!(summary["images"]["stored"], 50);
    assert_eq!(modified(&kept), before);
    assert!(shard_bytes(half.path()) == shard_bytes(whole.path()));
    let names = fs::read_dir(half.path()).unwrap();
    let hidden =
        names.filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes()[0] == b'.');
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_killed_run_leaves_whole_shards_alone_and_is_taken_up() {
    let photographs: Vec<_> = photographs("jpg").into_values().collect();
    let names: Vec<_> = (0..24).map(|n| format!("c/{n:02}.jpg")).collect();
    let files = names.iter().zip(photographs.iter().cycle());
    let input = folder(files.map(|(name, bytes)| (name.as_str(), bytes)));
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(input.path(), whole.path(), &SHARDS, 0);
    let expected = shard_bytes(whole.path());

    let mut child = command(
        input.path(),
        killed.path(),
        &[&SHARDS[..], &["--threads", "1"]].concat(),
    );
    let child = child.stdout(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let first = killed.path().join("train-00001-of-00006");
    while !first.exists() && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (name, bytes) in &expected {
        if let Ok(found) = fs::read(killed.path().join(name)) {
            assert!(
                found == *bytes,
                "{} is in its place and not whole",
                name.display()
            );
        }
    }
    let summary = summary(input.path(), killed.path(), &SHARDS, 0);
    assert!(summary["shards"]["kept"].as_u64().unwrap() >= 2);
    assert!(shard_bytes(killed.path()) == expected);
}

#[test]
fn a_shard_of_another_length_than_its_report_says_is_made_again() {
    let input = images();
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &SHARDS, 0);
    let expected = shard_bytes(output.path());
    let cut = output.path().join("train-00004-of-00006");
    let file = fs::OpenOptions::new().write(true).open(cut).unwrap();
    file.set_len(100).unwrap();
    let summary = summary(input.path(), output.path(), &SHARDS, 0);
    assert_eq!(summary["shards"]["written"], 1);
    assert!(shard_bytes(output.path()) == expected);
}

#[test]
fn other_settings_or_images_or_foreign_shards_are_refused_and_nothing_is_changed() {
    let input = images();
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &SHARDS, 0);
    let expected = shard_bytes(output.path());
    for (arguments, named) in [
        (
            &["--shards", "6", "--scale", "500"][..],
            "segmentations[0].scale 1000.0, now 500.0",
        ),
        (&["--shards", "5"], "settings.shards 6, now 5"),
        (&["--shards", "6", "--seed", "1"], "settings.seed 0, now 1"),
    ] {
        let refused = run(input.path(), output.path(), arguments, 1);
        assert!(error(&refused).contains(named), "{}", error(&refused));
    }
    fs::remove_file(input.path().join("0/00.jpg")).unwrap();
    let refused = run(input.path(), output.path(), &SHARDS, 1);
    assert!(
        error(&refused).contains("images 50, now 49"),
        "{}",
        error(&refused)
    );
    assert!(shard_bytes(output.path()) == expected);

    fs::remove_dir_all(output.path().join("train.masks")).unwrap();
    let refused = run(input.path(), output.path(), &SHARDS, 1);
    assert!(error(&refused).contains("no run of this program made it"));
    assert!(shard_bytes(output.path()) == expected);
}

#[test]
fn parts_and_threads_make_the_same_shards_as_one_run() {
    let input = images();
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(
        input.path(),
        whole.path(),
        &[&SHARDS[..], &["--threads", "1"]].concat(),
        0,
    );
    let mut stored = 0;
    for part in ["0/4", "3/4", "1/4", "2/4"] {
        let arguments = [&SHARDS[..], &["--shard", part, "--threads", "5"]].concat();
        let summary = summary(input.path(), parts.path(), &arguments, 0);
        stored += summary["images"]["stored"].as_u64().unwrap();
    }
    assert_eq!(stored, 50);
    assert!(shard_bytes(parts.path()) == shard_bytes(whole.path()));
    assert!(
        parts
            .path()
            .join("train.masks/summary-3-of-4.json")
            .exists()
    );
}

#[test]
fn upstreams_number_of_shards_is_the_default_even_for_few_images() {
    let jpeg = fixture("baseline_420.jpg");
    let input = folder([("c/1.jpg", jpeg)]);
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &["--split", "validation"], 0);
    assert!(output.path().join("validation-00255-of-00256").exists());
}
