//! Buckets: images in one and parts in one, with faults, kills and refusals in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use super::program::{command, files, summary};
use super::s3::{BUCKET, S3};
use super::sets;

const FLAGS: [&str; 6] = ["--parts", "12", "--max-batch", "2", "--size", "96"];

/// A server with images in `images/`, and where they lie.
fn server(count: u32) -> S3 {
    let server = S3::start();
    let images = server.folder.path().join(BUCKET).join("images");
    fs::create_dir_all(images.join("a")).unwrap();
    for (number, (name, bytes)) in (0..).zip(sets::pictures(count)) {
        let folder = if number % 2 == 0 { "a/" } else { "" };
        fs::write(images.join(format!("{folder}{name}")), bytes).unwrap();
    }
    server
}

fn extraction(server: &S3, right: bool) -> Command {
    let (input, output) = ("s3://data/images", "s3://data/parts/one");
    let mut program = command("embeddings", input, output, &FLAGS);
    server.tell(&mut program, right);
    program
}

/// What the parts are that a bucket holds, without what its server notes about them.
fn parts(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(folder);
    files.retain(|name, _| !name.starts_with('.'));
    files
}

fn line(done: &Output) -> String {
    assert_eq!(done.status.code(), Some(1));
    let error = String::from_utf8(done.stderr.clone()).unwrap();
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    error
}

/// Of a bucket that fails one request in twenty, in which a worker is killed again and again, the parts are those of a
/// folder.
#[test]
fn faults_and_kills_leave_the_files_of_an_unbroken_run() {
    let server = server(60);
    let bucket = server.folder.path().join(BUCKET);
    let local = tempfile::tempdir().unwrap();
    summary(
        "embeddings",
        bucket.join("images").to_str().unwrap(),
        local.path(),
        &FLAGS,
    );
    let mut faults = fastrand::Rng::with_seed(11);
    server.ask(move || faults.u8(0..20) > 0);
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..8 {
        let mut worker = extraction(&server, true);
        let mut worker = worker
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(random.u64(100..1500)));
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let done = extraction(&server, true).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let expected = files(local.path());
    let found = parts(&bucket.join("parts/one"));
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    for (name, bytes) in &found {
        assert!(expected[name] == *bytes, "{name}");
    }
}

#[test]
fn archives_and_tables_are_streamed_out_of_a_bucket() {
    let server = S3::start();
    let bucket = server.folder.path().join(BUCKET);
    let images = sets::pictures(20);
    fs::write(bucket.join("a.tar"), sets::tar(&images)).unwrap();
    let [paths, bytes, labels] = sets::columns(&images);
    let table = vec![("path", paths), ("image", bytes), ("label", labels)];
    fs::write(bucket.join("a.parquet"), sets::parquet(table)).unwrap();
    for input in ["a.tar", "a.parquet", "*.tar"] {
        let [far, near] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let output = far.path().to_str().unwrap();
        let mut program = command("embeddings", &format!("s3://{BUCKET}/{input}"), output, &[]);
        server.tell(&mut program, true);
        let done = program.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        summary(
            "embeddings",
            bucket.join(input).to_str().unwrap(),
            near.path(),
            &[],
        );
        let rows = |output: &Path| super::program::embeddings(output, "path");
        assert_eq!(rows(far.path()).len(), 20);
        assert!(rows(far.path()) == rows(near.path()), "{input}");
    }
}

#[test]
fn credentials_that_are_wrong_or_end_are_told_and_parts_stay() {
    let server = server(30);
    let told = line(&extraction(&server, false).output().unwrap());
    assert!(told.contains("refuses the credentials"), "{told}");
    let mut elsewhere = command(
        "embeddings",
        "s3://nowhere/images",
        "s3://data/parts/one",
        &FLAGS,
    );
    server.tell(&mut elsewhere, true);
    let told = line(&elsewhere.output().unwrap());
    assert!(told.contains("s3://nowhere"), "{told}");
    assert!(!server.folder.path().join(BUCKET).join("parts").exists());
}
