//! Parts: how an input is divided, what is made again and what is not, and that the same files come out whoever makes them.

use std::fs;
use std::path::Path;

use super::program::{batches, command, embeddings, files, refusal, run, status, summary, texts};
use super::sets;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn one_worker_two_and_eight_make_the_same_files_with_any_threads() {
    let mut images = sets::pictures(43);
    images.push(("00017.broken.png".to_owned(), b"no image".to_vec()));
    let folder = sets::folder(&images);
    let input = text(folder.path());
    let made = |workers: usize, flags: &[&str]| {
        let output = tempfile::tempdir().unwrap();
        let started: Vec<_> = (0..workers)
            .map(|worker| {
                let share = format!("{worker}/{workers}");
                let flags = [
                    &["--parts", "11", "--view", "full", "--shard", &share],
                    flags,
                ]
                .concat();
                command("embeddings", input, text(output.path()), &flags)
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut worker in started {
            assert!(worker.wait().unwrap().success());
        }
        files(output.path())
    };
    let whole = made(1, &[]);
    let names: Vec<_> = whole.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 12, "{names:?}");
    assert_eq!(names[0], "errors-00004-of-00011.jsonl");
    assert_eq!(names[1], "part-00000-of-00011.parquet");
    assert!(made(2, &["--engine-threads", "1"]) == whole);
    assert!(made(8, &["--decode-threads", "3", "--read-threads", "1"]) == whole);
}

#[test]
fn a_part_that_is_there_is_not_made_again_and_status_says_what_is_missing() {
    let folder = sets::folder(&sets::pictures(10));
    let output = tempfile::tempdir().unwrap();
    let flags = ["--parts", "5"];
    let first = ["--parts", "5", "--shard", "1/2"];
    let done = summary("embeddings", text(folder.path()), output.path(), &first);
    assert_eq!(done["parts"]["written"], 2);
    let told = status(text(output.path()));
    assert!(told.contains("parts: 2 of 5\nmissing: 0, 2, 4\n"), "{told}");
    assert!(
        told.contains("command: embeddings\nmodel: tiny.0\n"),
        "{told}"
    );
    let before = files(output.path());
    let rest = summary("embeddings", text(folder.path()), output.path(), &flags);
    assert_eq!(
        (&rest["parts"]["kept"], &rest["images"]),
        (&2.into(), &6.into())
    );
    let after = files(output.path());
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
    assert!(
        status(text(output.path()))
            .ends_with("images: 10\nerrors: 0\nparts: 5 of 5\nmissing: none\n")
    );
    let nothing = summary("embeddings", text(folder.path()), output.path(), &flags);
    assert_eq!(
        (&nothing["parts"]["kept"], &nothing["images"]),
        (&5.into(), &0.into())
    );
}

#[test]
fn another_run_for_the_same_output_is_refused_with_what_differs() {
    let images = sets::pictures(6);
    let folder = sets::folder(&images);
    let output = tempfile::tempdir().unwrap();
    run(
        "embeddings",
        text(folder.path()),
        output.path(),
        &["--parts", "2"],
        0,
    );
    let before = files(output.path());
    let refused = |name: &str, input: &Path, flags: &[&str]| {
        refusal(
            name,
            text(input),
            output.path(),
            &[&["--parts", "2"], flags].concat(),
        )
    };
    let told = refused(
        "embeddings",
        folder.path(),
        &["--view", "full", "--size", "64"],
    );
    assert!(
        told.contains("(view: center 224 then, full 64 now)"),
        "{told}"
    );
    let told = refused("regions", folder.path(), &["--method", "grid"]);
    assert!(
        told.contains("command: embeddings then, regions now"),
        "{told}"
    );
    let told = refusal(
        "embeddings",
        text(folder.path()),
        output.path(),
        &["--parts", "3"],
    );
    assert!(told.contains("parts: 2 then, 3 now"), "{told}");
    let fewer = sets::folder(&images[1..]);
    assert!(refused("embeddings", fewer.path(), &[]).contains("(input: images of SHA-256 "));
    assert!(files(output.path()) == before);
}

/// Images that cannot be used are listed, and are no row; the others are.
#[test]
fn what_cannot_be_used_is_listed_with_its_reason() {
    let mut images = sets::pictures(5);
    images[1].1.truncate(60);
    images[3].1 = b"a text".to_vec();
    let folder = sets::folder(&images);
    std::os::unix::fs::symlink("nowhere", folder.path().join("00009.png")).unwrap();
    let output = tempfile::tempdir().unwrap();
    let done = summary("embeddings", text(folder.path()), output.path(), &[]);
    assert_eq!((&done["images"], &done["errors"]), (&3.into(), &3.into()));
    let lines =
        String::from_utf8(files(output.path())["errors-00000-of-00001.jsonl"].clone()).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let paths: Vec<_> = lines
        .iter()
        .map(|line| line["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["00001.png", "00003.png", "00009.png"]);
    assert!(
        lines[2]["reason"]
            .as_str()
            .unwrap()
            .contains("is not there")
    );
    assert_eq!(
        texts(&batches(output.path()), "id"),
        ["00000.png", "00002.png", "00004.png"]
    );

    let few = tempfile::tempdir().unwrap();
    let told = refusal(
        "embeddings",
        text(folder.path()),
        few.path(),
        &["--max-errors", "2"],
    );
    assert!(
        told.contains("3 images could not be used, more than --max-errors 2"),
        "{told}"
    );
    assert!(
        !files(few.path())
            .keys()
            .any(|name| name.starts_with("part-"))
    );
}

#[test]
fn schedulers_say_which_share_a_worker_has() {
    let folder = sets::folder(&sets::pictures(4));
    let output = tempfile::tempdir().unwrap();
    let mut job = command(
        "embeddings",
        text(folder.path()),
        text(output.path()),
        &["--parts", "4", "--workers", "3"],
    );
    assert!(
        job.env("JOB_COMPLETION_INDEX", "1")
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(
        files(output.path()).into_keys().collect::<Vec<_>>(),
        ["part-00001-of-00004.parquet"]
    );
    let array = |ids: [&str; 4]| {
        let mut task = command(
            "embeddings",
            text(folder.path()),
            text(output.path()),
            &["--parts", "4"],
        );
        let names = ["ID", "COUNT", "MIN", "MAX"].map(|name| format!("SLURM_ARRAY_TASK_{name}"));
        task.envs(names.into_iter().zip(ids)).output().unwrap()
    };
    assert!(array(["0", "2", "0", "1"]).status.success());
    assert_eq!(files(output.path()).len(), 3);
    let refused = array(["1", "2", "1", "2"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--array=0-1"));
}

#[test]
fn arrays_of_numpy_lie_beside_a_table_of_the_rest() {
    let folder = sets::folder(&sets::pictures(5));
    let [table, arrays] = ["parquet", "npy"].map(|format| {
        let output = tempfile::tempdir().unwrap();
        run(
            "embeddings",
            text(folder.path()),
            output.path(),
            &["--parts", "2", "--format", format],
            0,
        );
        output
    });
    let rows = batches(arrays.path());
    assert!(rows[0].column_by_name("embedding").is_none());
    let files = files(arrays.path());
    let numbers = [0, 1].map(|part| {
        let bytes = &files[&format!("embeddings_{part:05}.npy")];
        let (header, numbers) = bytes.split_at(192);
        assert!(header.starts_with(b"\x93NUMPY\x01\x00"));
        let text = String::from_utf8_lossy(header).into_owned();
        assert!(
            text.contains(&format!("'shape': ({}, 8)", 2 + part)),
            "{text}"
        );
        numbers.to_vec()
    });
    let expected = embeddings(table.path(), "id").into_values().flatten();
    let expected: Vec<u8> = expected.flat_map(f32::to_le_bytes).collect();
    assert_eq!(numbers.concat(), expected);
}

/// A part that another process writes is not written twice.
#[test]
fn two_workers_of_one_share_are_told_apart() {
    let folder = sets::folder(&sets::pictures(3));
    let output = tempfile::tempdir().unwrap();
    let held =
        fs::File::create(output.path().join(".part-00000-of-00001.parquet.partial")).unwrap();
    held.lock().unwrap();
    let told = refusal("embeddings", text(folder.path()), output.path(), &[]);
    assert!(told.contains("another process is writing"), "{told}");
    drop(held);
    run("embeddings", text(folder.path()), output.path(), &[], 0);
}
