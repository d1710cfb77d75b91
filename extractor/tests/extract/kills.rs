//! Killed at any moment, a run leaves whole parts, and the next goes on with the rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::program::{command, files, status, summary};
use super::sets;

/// How often it is killed.
const KILLS: u32 = 20;

#[test]
fn twenty_kills_at_random_moments_leave_the_files_of_an_unbroken_run() {
    let images = sets::pictures(240);
    let folder = sets::folder(&images);
    let input = folder.path().to_str().unwrap();
    let flags = ["--parts", "40", "--max-batch", "2", "--size", "96"];
    let whole = tempfile::tempdir().unwrap();
    let began = Instant::now();
    summary("embeddings", input, whole.path(), &flags);
    let longest = began.elapsed();
    let output = tempfile::tempdir().unwrap();
    let place = output.path().to_str().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut kills = 0;
    for _ in 0..KILLS {
        let mut worker = command("embeddings", input, place, &flags);
        let mut worker = worker.stdout(std::process::Stdio::null()).spawn().unwrap();
        thread::sleep(longest.mul_f64(random.f64()).max(Duration::from_millis(1)));
        kills += u32::from(worker.try_wait().unwrap().is_none());
        worker.kill().unwrap();
        worker.wait().unwrap();
        let there = files(output.path());
        let parts = there.iter().filter(|(name, _)| name.starts_with("part-"));
        let known = files(whole.path());
        assert!(parts.into_iter().all(|(name, bytes)| known[name] == *bytes));
    }
    assert!(kills > 0, "it was done before every kill");
    summary("embeddings", input, output.path(), &flags);
    let left: BTreeMap<_, _> = files(output.path());
    assert!(left == files(whole.path()), "{:?}", left.keys());
    assert!(status(place).ends_with("missing: none\n"));
}
