//! What cannot be read is said in one line, before anything is computed.

use std::fs;
use std::path::Path;

use super::program::{batches, files, refusal, run, texts};
use super::sets;

fn told(input: &Path, flags: &[&str]) -> String {
    let output = tempfile::tempdir().unwrap();
    let told = refusal("embeddings", input.to_str().unwrap(), output.path(), flags);
    assert!(files(output.path()).is_empty());
    told
}

#[test]
fn inputs_that_are_none_are_refused() {
    let [(name, picture)] = <[_; 1]>::try_from(sets::pictures(1)).unwrap();
    let images = [(name.clone(), picture.clone())];
    let [paths, bytes, numbers] = sets::columns(&images);
    let table = sets::parquet(vec![("path", paths), ("bytes", bytes), ("n", numbers)]);
    let file = |name: &str, bytes: &[u8]| sets::folder(&[(name.to_owned(), bytes.to_vec())]);
    let empty = file("notes.md", b"no image");
    assert!(told(empty.path(), &[]).contains("holds nothing that is read"));
    assert!(told(&empty.path().join("notes.md"), &[]).contains("holds nothing that is read"));
    assert!(told(&empty.path().join("nowhere"), &[]).contains("is not there"));
    assert!(told(&empty.path().join("*.jpg"), &[]).contains("holds nothing that is read"));
    let packed = file("a.tar.gz", b"");
    assert!(told(packed.path(), &[]).contains("is compressed"));
    let mixed = sets::folder(&[
        (name.clone(), picture.clone()),
        ("a.tar".to_owned(), sets::tar(&images)),
    ]);
    assert!(told(mixed.path(), &[]).contains("holds images and tar shards"));
    let cut = file("cut.parquet", &table[..table.len() - 20]);
    assert!(told(cut.path(), &[]).contains("it is no whole Parquet file"));
    let whole = file("whole.parquet", &table);
    assert!(
        told(whole.path(), &["--column", "image"]).contains("has no column \"image\": it has path")
    );
    assert!(told(whole.path(), &["--column", "n"]).contains("its column \"n\" holds no images"));
    assert!(told(whole.path(), &["--id-column", "bytes"]).contains("holds no texts or integers"));
    assert!(
        told(whole.path(), &["--parts", "2"])
            .contains("cannot be divided into 2 parts: it has 1 rows")
    );
    let folder = file(&name, &picture);
    assert!(told(folder.path(), &["--column", "n"]).contains("--column is for tables"));
    assert!(told(folder.path(), &["--memory", "1000"]).contains("is too little"));
    let within = folder.path().join("parts");
    let input = folder.path().to_str().unwrap();
    assert!(refusal("embeddings", input, &within, &[]).contains("lies in the input"));
    let list = file("list.txt", b"a.png\nb.png\na.png\n");
    assert!(
        told(&list.path().join("list.txt"), &[]).contains("the id \"a.png\" twice (lines 1 and 3)")
    );
    let csv = file("t.csv", b"path,id\na.png,1\nb.png\n");
    assert!(told(&csv.path().join("t.csv"), &[]).contains("it is no CSV file"));
    assert!(
        told(&csv.path().join("t.csv"), &["--column", "file"]).contains("has no column \"file\"")
    );
}

#[test]
fn a_model_that_cannot_do_it_is_refused() {
    let folder = sets::folder(&sets::pictures(1));
    let output = tempfile::tempdir().unwrap();
    let input = folder.path().to_str().unwrap();
    let told = |name: &str, flags: &[&str]| refusal(name, input, output.path(), flags);
    assert!(told("regions", &["--method", "head:none"]).contains("no segmentation head"));
    assert!(told("regions", &["--method", "magic"]).contains("none of felzenszwalb"));
    assert!(
        told("regions", &["--method", "grid", "--k", "3"]).contains("--k does not go with grid")
    );
    assert!(
        told("regions", &["--shard-masks"])
            .contains("--shard-masks is for tar and TFRecord shards")
    );
    assert!(told("embeddings", &["--size", "5000"]).contains("5000 is not from"));
    assert!(told("embeddings", &["--precision", "fp16"]).contains("has no fp16 graph"));
}

/// What is damaged in the middle is listed, with what is lost by it; what was before is used.
#[test]
fn damaged_archives_give_what_can_be_read_of_them() {
    let images = sets::pictures(6);
    let archive = sets::tar(&images);
    let folder = sets::folder(&[(
        "a.tar".to_owned(),
        archive[..archive.len() / 2 - 7].to_vec(),
    )]);
    let mut twice = images[..2].to_vec();
    twice.push(images[0].clone());
    fs::write(folder.path().join("b.tar"), sets::tar(&twice)).unwrap();
    let shard = folder.path().join("c");
    sets::records(&images[..3], &shard);
    let mut records = fs::read(&shard).unwrap();
    fs::remove_file(&shard).unwrap();
    let end = records.len() - 100;
    records[end] ^= 1;
    let others = sets::folder(&[("train-00000-of-00001".to_owned(), records)]);
    let listed = |input: &Path| {
        let output = tempfile::tempdir().unwrap();
        run("embeddings", input.to_str().unwrap(), output.path(), &[], 0);
        let files = files(output.path());
        let lines = files.iter().filter(|(name, _)| name.starts_with("errors-"));
        let lines: Vec<u8> = lines.flat_map(|(_, bytes)| bytes.clone()).collect();
        (
            texts(&batches(output.path()), "id"),
            String::from_utf8(lines).unwrap(),
        )
    };
    let (ids, errors) = listed(folder.path());
    assert!(ids.len() > 2 && ids.len() < 8, "{ids:?}");
    assert!(errors.contains("The archive is damaged here"), "{errors}");
    assert!(
        errors.contains("An image before it has the same id."),
        "{errors}"
    );
    let (ids, errors) = listed(others.path());
    assert_eq!(ids.len(), 2);
    assert!(errors.contains("does not match its checksum"), "{errors}");
}
