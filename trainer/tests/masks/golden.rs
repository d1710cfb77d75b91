//! Upstream's shards, and what this project makes of the same photographs.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use bytes::Bytes;
use detcon_core::image::{ImageLimits, RgbImage, decode_stored};
use detcon_core::segment::{Felzenszwalb, SegmentMap, Workspace};
use detcon_data::example::{Example, Values};
use detcon_data::sample::Sample;
use detcon_data::shards::{self, Split};
use detcon_data::tfrecord::{RecordReader, RecordWriter};
use detcon_trainer::random::{below, stream};

use crate::program::{filename, folder, golden, photographs, run, samples};

fn golden_mask(sample: &Sample) -> SegmentMap {
    let name = filename(sample);
    let (stem, _) = name.rsplit_once('.').unwrap();
    let path = golden().join(format!("tfrecord/{stem}.mask.png"));
    SegmentMap::from_png(&fs::read(path).unwrap(), &ImageLimits::default()).unwrap()
}

/// Features, records and files. The features of a record are a map, which newer versions of protobuf write in an order of
/// their own: where they lie as upstream's text has them, all of it comes back byte for byte.
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
            assert!(sorted(&read) == sorted(&written), "features differ");
            let encoded = written.to_bytes();
            assert_eq!(encoded.len(), payload.len(), "records differ");
            let in_order = read.features().eq(written.features());
            assert!(!in_order || encoded == payload, "records differ");
            writer.write(&payload).unwrap();
        }
        assert!(writer.into_inner() == bytes, "{} differs", path.display());
    }
}

/// Every feature, by its name.
fn sorted(example: &Example) -> BTreeMap<&str, Option<&Values>> {
    let features: BTreeMap<_, _> = example.features().collect();
    assert_eq!(
        features.len(),
        example.features().count(),
        "a feature twice"
    );
    features
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
/// with them. How much that is depends on the photograph, which is asked itself: our masks must agree with upstream's at
/// least as well as with those of the same pixels under noise of more than a grey level.
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
    let samples = samples(output.path(), Split::Train);
    let with_upstream: f64 = samples
        .iter()
        .map(|sample| agreement(&sample.mask, golden_mask(sample).ids().iter().copied()))
        .sum();
    let with_noise = (0..TRIALS).map(|seed| {
        let noisy = samples.iter().map(|sample| {
            assert!(sample.image == photographs[&filename(sample)]);
            agreement(
                &sample.mask,
                mask_under_noise(sample, seed).ids().iter().copied(),
            )
        });
        noisy.sum::<f64>()
    });
    let with_noise: Vec<f64> = with_noise.collect();
    let least = with_noise.iter().copied().fold(f64::INFINITY, f64::min);
    println!("{with_upstream} with upstream's, {with_noise:?} under noise, in all");
    assert!(
        with_upstream >= least,
        "{with_upstream} with upstream's, {with_noise:?} under noise, in all"
    );
    let turned = samples.iter().map(|sample| {
        let upstream = golden_mask(sample);
        agreement(&sample.mask, upstream.rows().rev().flatten().copied())
    });
    let turned = turned.sum::<f64>();
    assert!(
        with_upstream > turned,
        "{with_upstream}, and turned over {turned}"
    );
}

/// Noises that are tried.
const TRIALS: u64 = 6;
/// Most that a value is moved by, and as often by less: 1.2 on average.
const NOISE: usize = 2;

/// Upstream's segments of the sample's pixels, each value moved by chance.
fn mask_under_noise(sample: &Sample, seed: u64) -> SegmentMap {
    let image = decode_stored(&sample.image, &ImageLimits::default()).unwrap();
    let mut random = stream(seed, "noise", &[]);
    let values = image.pixels().iter().map(|&value| {
        let moved = usize::from(value) + below(2 * NOISE + 1, &mut random);
        u8::try_from(moved.saturating_sub(NOISE).min(255)).unwrap()
    });
    let noisy = RgbImage::new(image.width(), image.height(), values.collect()).unwrap();
    let method = Felzenszwalb::new(1000.0, 0.8, 1000).unwrap();
    method.segment(&noisy, &mut Workspace::default()).unwrap()
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
    if most <= chance {
        return 1.0; // one segment each
    }
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
