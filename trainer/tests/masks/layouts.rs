//! How images are found, labelled and ordered.

use std::collections::BTreeMap;

use detcon_data::shards::Split;

use crate::program::{error, filename, fixture, folder, run, samples};

type Labels = BTreeMap<String, (Option<u32>, String, String)>;

fn labels(output: &std::path::Path, split: Split) -> Labels {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let samples = samples(output, split).into_iter();
    let labels = samples.map(|sample| {
        let (synset, words) = (text(&sample.origin.synset), text(&sample.origin.text));
        (filename(&sample), (sample.label, synset, words))
    });
    labels.collect()
}

fn expected(rows: &[(&str, Option<u32>, &str, &str)]) -> Labels {
    let row = |&(name, label, synset, text): &(&str, _, &str, &str)| {
        (name.to_owned(), (label, synset.to_owned(), text.to_owned()))
    };
    rows.iter().map(row).collect()
}

#[test]
fn an_image_folder_is_numbered_by_the_names_of_its_folders() {
    let jpeg = fixture("baseline_420.jpg");
    let names = [
        "b/1.jpg",
        "B/2.JPG",
        "a/deep/er/3.jpeg",
        "a/.hidden.jpg",
        "b/readme.md",
        "loose.jpg",
    ];
    let input = folder(names.map(|name| (name, &jpeg)));
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &["--shards", "2"], 0);
    let found = labels(output.path(), Split::Train);
    let rows = [
        ("2.JPG", Some(0), "B", "B"),
        ("3.jpeg", Some(1), "a", "a"),
        ("1.jpg", Some(2), "b", "b"),
    ];
    assert_eq!(found, expected(&rows));
}

/// A name and what is in it.
type File<'a> = (&'a str, &'a [u8]);

const SYNSETS: &[u8] = b"n01440764\nn01443537\nn01484850\n";
const METADATA: &[u8] =
    b"n00000001\tnot used\nn01440764\ttench, Tinca tinca\nn01443537\tgoldfish\nn01484850\tgreat white shark\n";

#[test]
fn imagenet_is_read_as_upstream_lays_it_out() {
    let jpeg = fixture("baseline_420.jpg");
    let input = folder([
        ("train/n01440764/n01440764_1.JPEG", jpeg.as_slice()),
        ("train/n01484850/n01484850_7.JPEG", &jpeg),
        ("val/ILSVRC2012_val_00000002.JPEG", &jpeg),
        ("val/n01484850/ILSVRC2012_val_00000009.JPEG", &jpeg),
        ("imagenet_lsvrc_2015_synsets.txt", SYNSETS),
        ("imagenet_metadata.txt", METADATA),
        (
            "imagenet_2012_validation_synset_labels.txt",
            b"n01440764\nn01443537\n",
        ),
    ]);
    let lists = input.path().to_str().unwrap();
    let output = tempfile::tempdir().unwrap();
    let arguments = ["--layout", "imagenet", "--lists", lists, "--shards", "1"];
    run(&input.path().join("train"), output.path(), &arguments, 0);
    let rows = [
        (
            "n01440764_1.JPEG",
            Some(0),
            "n01440764",
            "tench, Tinca tinca",
        ),
        (
            "n01484850_7.JPEG",
            Some(2),
            "n01484850",
            "great white shark",
        ),
    ];
    assert_eq!(labels(output.path(), Split::Train), expected(&rows));
    let arguments = [&arguments[..], &["--split", "validation"]].concat();
    run(&input.path().join("val"), output.path(), &arguments, 0);
    let rows = [
        (
            "ILSVRC2012_val_00000002.JPEG",
            Some(1),
            "n01443537",
            "goldfish",
        ),
        (
            "ILSVRC2012_val_00000009.JPEG",
            Some(2),
            "n01484850",
            "great white shark",
        ),
    ];
    assert_eq!(labels(output.path(), Split::Validation), expected(&rows));
}

#[test]
fn what_imagenets_text_files_do_not_explain_is_an_error_that_names_it() {
    let jpeg = fixture("baseline_420.jpg");
    let synsets = ("imagenet_lsvrc_2015_synsets.txt", SYNSETS);
    let metadata = ("imagenet_metadata.txt", METADATA);
    let known = ("n01440764/1.JPEG", jpeg.as_slice());
    let cases: [(Vec<File>, &str); 5] = [
        (vec![synsets, known], "imagenet_metadata.txt"),
        (
            vec![synsets, metadata, known, ("n09999999/1.JPEG", &jpeg)],
            "n09999999",
        ),
        (
            vec![synsets, metadata, known, ("1.JPEG", &jpeg)],
            "synset's folder",
        ),
        (
            vec![
                synsets,
                ("imagenet_metadata.txt", b"n01440764 tench\n"),
                known,
            ],
            "line 1",
        ),
        (
            vec![
                ("imagenet_lsvrc_2015_synsets.txt", b"n01440764\nn01440764\n"),
                metadata,
                known,
            ],
            "twice",
        ),
    ];
    for (files, named) in cases {
        let input = folder(files);
        let output = tempfile::tempdir().unwrap();
        let refused = run(input.path(), output.path(), &["--layout", "imagenet"], 1);
        assert!(error(&refused).contains(named), "{}", error(&refused));
    }
}

#[test]
fn a_list_names_files_and_perhaps_classes() {
    let jpeg = fixture("baseline_420.jpg");
    let input = folder([
        (
            "list.txt",
            "x/1.jpg\t1\n\nx/2.jpg\t1000\nx/3.jpg\n".as_bytes(),
        ),
        ("wrong.txt", b"x/1.jpg\t0\n"),
        ("x/1.jpg", &jpeg),
        ("x/2.jpg", &jpeg),
        ("x/3.jpg", &jpeg),
    ]);
    let output = tempfile::tempdir().unwrap();
    let arguments = ["--layout", "list", "--shards", "1"];
    run(&input.path().join("list.txt"), output.path(), &arguments, 0);
    let rows = [
        ("1.jpg", Some(0), "", ""),
        ("2.jpg", Some(999), "", ""),
        ("3.jpg", None, "", ""),
    ];
    assert_eq!(labels(output.path(), Split::Train), expected(&rows));
    let refused = run(
        &input.path().join("wrong.txt"),
        output.path(),
        &arguments,
        1,
    );
    assert!(error(&refused).contains("wrong.txt, line 1"));
}

/// Upstream shuffles a copy of its list and writes the images class by class.
#[test]
fn images_are_shuffled_by_the_seed() {
    let jpeg = fixture("column.jpg");
    let names: Vec<_> = (0..40).map(|n| format!("{}/{n:02}.jpg", n / 10)).collect();
    let input = folder(names.iter().map(|name| (name.as_str(), &jpeg)));
    let order = |seed: &str| {
        let output = tempfile::tempdir().unwrap();
        run(
            input.path(),
            output.path(),
            &["--shards", "3", "--seed", seed],
            0,
        );
        let samples = samples(output.path(), Split::Train);
        samples.iter().map(filename).collect::<Vec<_>>()
    };
    let (zero, again, one) = (order("0"), order("0"), order("1"));
    assert_eq!(zero, again);
    assert_ne!(zero, one);
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_ne!(zero, sorted(zero.clone()));
    assert_eq!(sorted(zero), sorted(one));
}
