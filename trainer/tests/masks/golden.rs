//! Upstream's shards, and what this project makes of the same photographs.

use std::collections::HashMap;
use std::fs;

use bytes::Bytes;
use detcon_core::image::ImageLimits;
use detcon_core::segment::SegmentMap;
use detcon_trainer::example::Example;
use detcon_trainer::sample::Sample;
use detcon_trainer::shards::{self, Split};
use detcon_trainer::tfrecord::{RecordReader, RecordWriter};

use crate::program::{filename, folder, golden, photographs, run, samples};

fn golden_mask(sample: &Sample) -> SegmentMap {
    let name = filename(sample);
    let (stem, _) = name.rsplit_once('.').unwrap();
    let path = golden().join(format!("tfrecord/{stem}.mask.png"));
    SegmentMap::from_png(&fs::read(path).unwrap(), &ImageLimits::default()).unwrap()
}

/// Features, records and files: all of upstream's shards come back byte for byte.
#[test]
fn upstreams_shards_are_written_back_as_they_were_read() {
    for path in shards::list(&golden().join("tfrecord"), Split::Train).unwrap() {
        let bytes = fs::read(&path).unwrap();
        let mut writer = RecordWriter::new(Vec::new());
        for record in RecordReader::new(bytes.as_slice()) {
            let payload = record.unwrap().payload;
            let sample = Sample::parse(payload.clone()).unwrap();
            let (read, written) = (
                Example::parse(payload.clone()).unwrap(),
                sample.to_example().unwrap(),
            );
            assert!(read.features().eq(written.features()), "features differ");
            assert!(written.to_bytes() == payload, "records differ");
            writer.write(&written.to_bytes()).unwrap();
        }
        assert!(writer.into_inner() == bytes, "{} differs", path.display());
    }
}

#[test]
fn upstreams_samples_are_the_photographs_with_their_masks_and_labels() {
    let photographs = photographs("jpg");
    let samples = samples(&golden().join("tfrecord"), Split::Train);
    assert_eq!(samples.len(), photographs.len());
    for (label, sample) in (0..).zip(&samples) {
        let photograph = &photographs[&filename(sample)];
        assert!(sample.image == *photograph, "{}", filename(sample));
        assert!(sample.mask == golden_mask(sample), "{}", filename(sample));
        assert_eq!(sample.label, Some(label), "stored from 1, read from 0");
        assert!(sample.further_masks.is_empty());
        assert!(!sample.origin.synset.is_empty() && !sample.origin.text.is_empty());
    }
}

/// Upstream segments what TensorFlow's fast JPEG decoder sees. On such pixels our masks are upstream's, every label;
/// our decoder's differ by less than a grey level on average, and where two edges are nearly equal, a segment may differ
/// with them. The agreement must be far above that of unrelated maps (0), and above that of the same map turned over.
#[test]
fn masks_of_the_same_files_agree_with_upstreams() {
    let photographs = photographs("jpg");
    let files = photographs
        .iter()
        .map(|(name, bytes)| (format!("class/{name}"), bytes));
    let files: Vec<_> = files.collect();
    let input = folder(files.iter().map(|(name, bytes)| (name.as_str(), bytes)));
    let output = tempfile::tempdir().unwrap();
    run(input.path(), output.path(), &["--shards", "2"], 0);
    let mut agreements = Vec::new();
    for sample in samples(output.path(), Split::Train) {
        assert!(sample.image == photographs[&filename(&sample)]);
        let upstream = golden_mask(&sample);
        let mirrored = upstream.rows().flat_map(|row| row.iter().rev().copied());
        let flipped = upstream.rows().rev().flatten().copied();
        let ours = agreement(&sample.mask, upstream.ids().iter().copied());
        assert!(
            ours > agreement(&sample.mask, mirrored),
            "{}",
            filename(&sample)
        );
        assert!(
            ours > agreement(&sample.mask, flipped),
            "{}",
            filename(&sample)
        );
        agreements.push(ours);
    }
    #[expect(clippy::cast_precision_loss, reason = "there are four")]
    let mean = agreements.iter().sum::<f64>() / agreements.len() as f64;
    assert!(mean > 0.7, "{mean}: {agreements:?}");
}

/// The adjusted Rand index: 1 for equal segments, 0 for unrelated ones.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of pixels are below 2^52"
)]
fn agreement(one: &SegmentMap, other: impl Iterator<Item = u16>) -> f64 {
    let pairs = |counts: &HashMap<_, u64>| -> f64 {
        counts.values().map(|&n| (n * (n - 1) / 2) as f64).sum()
    };
    let (mut both, mut first, mut second) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (&a, b) in one.ids().iter().zip(other) {
        *both.entry((a, b)).or_default() += 1;
        *first.entry((a, 0)).or_default() += 1;
        *second.entry((0, b)).or_default() += 1;
    }
    let all = one.ids().len() as f64;
    let chance = pairs(&first) * pairs(&second) / (all * (all - 1.0) / 2.0);
    let most = f64::midpoint(pairs(&first), pairs(&second));
    (pairs(&both) - chance) / (most - chance)
}

#[test]
fn the_payload_of_a_sample_shares_memory_with_its_image() {
    let path = &shards::list(&golden().join("tfrecord"), Split::Train).unwrap()[0];
    let bytes = fs::read(path).unwrap();
    let record = RecordReader::new(bytes.as_slice()).next().unwrap().unwrap();
    let sample = Sample::parse(record.payload.clone()).unwrap();
    let within = |part: &Bytes, whole: &Bytes| whole.as_ptr_range().contains(&part.as_ptr());
    assert!(within(&sample.image, &record.payload));
}
