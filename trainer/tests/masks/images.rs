//! What becomes of single images: stored pixels, re-encoding, failures, too many segments.

use detcon_core::image::{Format, ImageLimits, decode_stored};
use detcon_data::sample::Sample;
use detcon_data::shards::Split;
use serde_json::Value;

use crate::program::{
    assert_mask_fits, filename, fixture, folder, photographs, run, samples, summary,
};

const ONE_SHARD: [&str; 2] = ["--shards", "1"];

fn paths(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    let mut paths: Vec<_> = list.map(|entry| entry["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths
}

fn stored(samples: &[Sample], name: &str) -> Sample {
    let found = samples.iter().find(|sample| filename(sample) == name);
    found.unwrap_or_else(|| panic!("no {name}")).clone()
}

/// ImageNet holds a PNG and CMYK JPEGs, all named `.JPEG`.
#[test]
fn what_is_no_rgb_jpeg_becomes_one_and_the_rest_keeps_its_bytes() {
    let files = [
        ("c/cmyk.JPEG", fixture("cmyk.jpg")),
        ("c/cmyk_progressive.JPEG", fixture("cmyk_progressive.jpg")),
        ("c/really_a_png.JPEG", fixture("alpha.png")),
        ("c/colour.JPEG", fixture("baseline_420.jpg")),
    ];
    let input = folder(files.clone());
    let output = tempfile::tempdir().unwrap();
    let summary = summary(input.path(), output.path(), &ONE_SHARD, 0);
    let reencoded = [
        "c/cmyk.JPEG",
        "c/cmyk_progressive.JPEG",
        "c/really_a_png.JPEG",
    ];
    assert_eq!(paths(&summary["reencoded"]), reencoded);
    let samples = samples(output.path(), Split::Train);
    let limits = ImageLimits::default();
    for (path, original) in files {
        let name = path.strip_prefix("c/").unwrap();
        let sample = stored(&samples, name);
        assert_mask_fits(&sample);
        assert_eq!(
            sample.image == original,
            !reencoded.contains(&path),
            "{name}"
        );
        assert_eq!(Format::of(&sample.image), Some(Format::Jpeg));
        let (one, other) = (
            decode_stored(&original, &limits).unwrap(),
            decode_stored(&sample.image, &limits).unwrap(),
        );
        let difference = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b));
        let total: u64 = one
            .pixels()
            .iter()
            .zip(other.pixels())
            .map(difference)
            .sum();
        // JPEG of quality 100 is within a level or two of its pixels.
        assert!(total <= 2 * one.pixels().len() as u64, "{name}: {total}");
    }
}

#[test]
fn masks_lie_on_stored_pixels_whatever_the_orientation() {
    let files: Vec<_> = (1..=8)
        .map(|n| (format!("c/exif_{n}.jpg"), fixture(&format!("exif_{n}.jpg"))))
        .collect();
    let input = folder(files.iter().map(|(name, bytes)| (name.as_str(), bytes)));
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &ONE_SHARD, 0);
    let samples = samples(output.path(), Split::Train);
    assert_eq!(samples.len(), files.len());
    for (path, bytes) in &files {
        let sample = stored(&samples, path.strip_prefix("c/").unwrap());
        assert!(
            sample.image == *bytes,
            "orientation is no reason to re-encode"
        );
        assert_mask_fits(&sample);
    }
}

/// The header of a BMP of `side` x `side` pixels.
fn bmp_header(side: u32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    bytes.extend([1, 0, 24, 0]); // planes, bits a pixel
    bytes.resize(54, 0);
    bytes
}

#[test]
fn images_that_cannot_be_used_are_listed_and_the_rest_is_written() {
    let mut photograph = photographs("jpg").into_values().next().unwrap();
    let whole = photograph.clone();
    photograph.truncate(photograph.len() / 2);
    let files = [
        ("c/good.jpg", whole),
        ("c/half.jpg", photograph),
        ("d/text.jpg", b"no image".to_vec()),
        ("d/64_megapixels.bmp", bmp_header(8000)),
        ("d/empty.png", Vec::new()),
        ("d/notes.txt", b"no image by its name".to_vec()),
    ];
    let input = folder(files);
    let bad = [
        "c/half.jpg",
        "d/64_megapixels.bmp",
        "d/empty.png",
        "d/text.jpg",
    ];
    for (arguments, code) in [
        (&ONE_SHARD[..], 1),
        (&["--shards", "1", "--skip-corrupt"], 0),
    ] {
        let output = tempfile::tempdir().unwrap();
        let first = summary(input.path(), output.path(), arguments, code);
        assert_eq!(paths(&first["failures"]), bad);
        let failures = first["failures"].as_array().unwrap().iter();
        let mut reasons = failures.map(|failure| failure["reason"].as_str().unwrap());
        assert!(
            reasons.any(|reason| reason.contains("8000x8000")),
            "{first}"
        );
        assert_eq!(
            (&first["images"]["stored"], &first["images"]["failed"]),
            (&1.into(), &bad.len().into())
        );
        assert_eq!(samples(output.path(), Split::Train).len(), 1);
        let again = summary(input.path(), output.path(), arguments, code);
        assert_eq!(
            paths(&again["failures"]),
            bad,
            "a kept shard's failures are not forgotten"
        );
        assert_eq!(again["shards"]["kept"], 1);
    }
}

/// At the smallest scale a photograph has thousands of segments.
#[test]
fn more_than_256_segments_are_an_error_or_a_stated_merge_and_never_wrap() {
    let (name, photograph) = photographs("jpg").into_iter().next().unwrap();
    let path = format!("c/{name}");
    let input = folder([(path.as_str(), photograph)]);
    let fine = ["--shards", "1", "--scale", "1", "--min-size", "20"];

    let output = tempfile::tempdir().unwrap();
    let refused = summary(input.path(), output.path(), &fine, 1);
    assert_eq!(paths(&refused["failures"]), [&path]);
    assert!(samples(output.path(), Split::Train).is_empty());

    let output = tempfile::tempdir().unwrap();
    let merging = [&fine[..], &["--overflow", "merge"]].concat();
    let merged = summary(input.path(), output.path(), &merging, 0);
    assert_eq!(paths(&merged["merged"]), [&path]);
    assert!(merged["merged"][0]["segments"].as_u64().unwrap() > 256);
    let samples = samples(output.path(), Split::Train);
    assert_eq!(samples[0].mask.distinct().len(), 256);
}

#[test]
fn several_scales_make_several_masks() {
    let (name, photograph) = photographs("jpg").into_iter().next().unwrap();
    let input = folder([(format!("c/{name}").as_str(), photograph)]);
    let output = tempfile::tempdir().unwrap();
    let scales = [
        "--shards",
        "1",
        "--scale",
        "1000,300",
        "--min-size",
        "1000,500",
    ];
    run(input.path(), output.path(), &scales, 0);
    let sample = &samples(output.path(), Split::Train)[0];
    let [finer] = sample.further_masks.as_slice() else {
        panic!("{} further masks", sample.further_masks.len());
    };
    assert!(finer.distinct().len() > sample.mask.distinct().len());
    let uneven = run(input.path(), output.path(), &["--scale", "1,2"], 1);
    assert!(String::from_utf8_lossy(&uneven.stderr).contains("2 scales and 1 smallest sizes"));
}

#[test]
fn a_preview_is_drawn_on_request() {
    let files: Vec<_> = photographs("jpg").into_iter().collect();
    let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes));
    let files: Vec<_> = files
        .map(|(name, bytes)| (format!("c/{name}"), bytes))
        .collect();
    let input = folder(files.iter().map(|(name, bytes)| (name.as_str(), bytes)));
    let output = tempfile::tempdir().unwrap();
    run(
        input.path(),
        output.path(),
        &["--shards", "2", "--preview", "3"],
        0,
    );
    let sheet = std::fs::read(output.path().join("train.masks/preview.png")).unwrap();
    let sheet = decode_stored(&sheet, &ImageLimits::default()).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (2 * 246 + 6, 2 * 246 + 6));
}
