//! Segmentations of real photographs, label for label what scikit-image makes of them, and properties of label maps.

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the plainest code that can be checked by reading, on tiny images"
)]
mod naive;

use crate::golden;
use detcon_core::image::{ImageLimits, RgbImage};
use detcon_core::segment::{FeatureMap, Felzenszwalb, KMeans, SegmentError, SegmentMap, Workspace};
use proptest::prelude::*;
use serde::Deserialize;

/// One reference segmentation.
#[derive(Deserialize)]
struct Case {
    image: String,
    scale: f64,
    sigma: f64,
    min_size: u32,
    segments: usize,
    labels: String,
}

#[test]
fn photographs_are_segmented_label_for_label_as_scikit_image_does() {
    let folder = golden::folder().join("felzenszwalb");
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&index).unwrap();
    let mut workspace = Workspace::default();
    assert!(!cases.is_empty(), "no reference segmentations");
    for case in cases {
        let path = golden::folder().join(format!("images/{}.png", case.image));
        let photograph = golden::photograph(&path);
        let method = Felzenszwalb::new(case.scale, case.sigma, case.min_size).unwrap();
        let segments = method.segment(&photograph, &mut workspace).unwrap();
        let labels = std::fs::read(folder.join(&case.labels)).unwrap();
        let labels = SegmentMap::from_png(&labels, &ImageLimits::default()).unwrap();
        let differing = segments.ids().iter().zip(labels.ids());
        let differing = differing.filter(|(ours, theirs)| ours != theirs).count();
        assert_eq!(differing, 0, "labels differ from {}", case.labels);
        assert_eq!(segments.distinct().len(), case.segments, "{}", case.labels);
    }
}

/// Images with smooth parts, flat parts and noise: `levels` distinct values make ties of costs.
fn images() -> impl Strategy<Value = RgbImage> {
    (1_u32..12, 1_u32..12, 1_u8..=255).prop_flat_map(|(height, width, levels)| {
        let bytes = (height * width * 3) as usize;
        prop::collection::vec(0..levels, bytes)
            .prop_map(move |pixels| RgbImage::new(width, height, pixels).unwrap())
    })
}

proptest! {
    /// The blur's radius stays below 4, where every order of summing its weights is the same.
    #[test]
    fn the_fast_segmentation_equals_the_plain_one(
        image in images(),
        scale in 0.5_f64..2000.0,
        sigma in prop::sample::select(vec![0.0, 0.1, 0.3, 0.5, 0.8]),
        min_size in 0_u32..40,
    ) {
        let method = Felzenszwalb::new(scale, sigma, min_size).unwrap();
        let segments = method.segment(&image, &mut Workspace::default()).unwrap();
        let plain = naive::felzenszwalb(&image, scale, sigma, min_size as usize);
        prop_assert_eq!(segments.ids(), plain);
    }

    #[test]
    fn a_used_workspace_changes_nothing(images in prop::collection::vec(images(), 4)) {
        let method = Felzenszwalb::new(100.0, 0.8, 5).unwrap();
        let mut used = Workspace::default();
        for image in images {
            let again = method.segment(&image, &mut used).unwrap();
            let fresh = method.segment(&image, &mut Workspace::default()).unwrap();
            prop_assert_eq!(again, fresh);
        }
    }

    #[test]
    fn a_label_map_survives_its_png(
        (height, width, ids) in (1_u32..9, 1_u32..9).prop_flat_map(|(height, width)| {
            let ids = prop_oneof![0..256_u16, 0..=u16::MAX];
            let ids = prop::collection::vec(ids, (height * width) as usize);
            (Just(height), Just(width), ids)
        }),
    ) {
        let map = SegmentMap::new(height, width, ids).unwrap();
        let again = SegmentMap::from_png(&map.to_png(), &ImageLimits::default()).unwrap();
        prop_assert_eq!(again, map);
    }

    #[test]
    fn damaged_label_maps_never_panic(place in 0_usize..200, byte: u8, cut in 0_usize..200) {
        let map = SegmentMap::new(8, 8, (0..64).collect()).unwrap();
        let mut bytes = map.to_png();
        let length = bytes.len();
        bytes[place % length] = byte;
        let _ = SegmentMap::from_png(&bytes, &ImageLimits::default());
        let _ = SegmentMap::from_png(&bytes[..cut % length], &ImageLimits::default());
    }
}

#[test]
fn more_segments_than_ids_are_an_error_and_never_wrap() {
    // A chessboard of 260 by 260 pixels, all of which stay alone.
    let pixels =
        (0..260 * 260).flat_map(|i| [if (i / 260 + i % 260) % 2 == 0 { 0 } else { 255 }; 3]);
    let mut pixels: Vec<u8> = pixels.collect();
    for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        pixel[1] = if (i / 260) % 2 == 0 { 0 } else { 255 };
    }
    let image = RgbImage::new(260, 260, pixels).unwrap();
    let method = Felzenszwalb::new(0.1, 0.0, 0).unwrap();
    let refusal = method
        .segment(&image, &mut Workspace::default())
        .unwrap_err();
    assert_eq!(
        refusal,
        SegmentError::TooManySegments {
            segments: 260 * 260
        }
    );
    let labels: Vec<u32> = (0..260 * 260).collect();
    assert!(SegmentMap::from_labels(260, 260, &labels).is_err());
    assert!(SegmentMap::compacted(260, 260, &labels).is_err());
}

#[test]
fn labels_with_gaps_are_renumbered_in_their_order() {
    let labels = [70_000, 5, 70_000, 9, 5, 5];
    let map = SegmentMap::compacted(2, 3, &labels).unwrap();
    assert_eq!(map.ids(), [2, 0, 2, 1, 0, 0]);
    let map = SegmentMap::new(1, 4, vec![9, 300, 4, 9]).unwrap();
    assert_eq!(map.compact().ids(), [1, 2, 0, 1]);
    assert_eq!(map.distinct(), [4, 9, 300]);
}

#[test]
fn parameters_out_of_range_are_refused() {
    for (scale, sigma) in [
        (0.0, 0.8),
        (-1.0, 0.8),
        (f64::NAN, 0.8),
        (f64::INFINITY, 0.8),
        (1.0, -0.1),
        (1.0, f64::NAN),
        (1.0, 33.0),
    ] {
        let refusal = Felzenszwalb::new(scale, sigma, 1).unwrap_err();
        assert!(
            matches!(refusal, SegmentError::Parameter { .. }),
            "{scale} {sigma}"
        );
    }
}

#[test]
fn photographs_are_no_label_maps() {
    let folder = golden::folder().join("images");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let refusal = SegmentMap::from_png(&bytes, &ImageLimits::default()).unwrap_err();
        let named = matches!(
            refusal,
            SegmentError::NotLabels { .. } | SegmentError::Png { .. }
        );
        assert!(named, "{}: {refusal}", path.display());
    }
}

#[test]
fn a_label_map_above_the_limits_is_refused() {
    let bytes = SegmentMap::new(3, 5, vec![0; 15]).unwrap().to_png();
    let limits = ImageLimits {
        side: 4,
        ..ImageLimits::default()
    };
    let refusal = SegmentMap::from_png(&bytes, &limits).unwrap_err();
    assert!(matches!(
        refusal,
        SegmentError::MapTooLarge {
            width: 5,
            height: 3,
            ..
        }
    ));
}

/// Two directions, left and right; the lengths differ, and do not matter.
fn two_halves() -> Vec<f32> {
    let cells = (0..24).map(|cell| (cell % 6 < 3, 1.0 + f32::from(u8::try_from(cell).unwrap())));
    let (left, right): (Vec<f32>, Vec<f32>) = cells
        .map(|(left, length)| if left { (length, 0.0) } else { (0.0, length) })
        .unzip();
    [left, right].concat()
}

#[test]
fn clusters_are_the_directions_of_features_and_upsample_smoothly() {
    let values = two_halves();
    let features = FeatureMap::new(&values, 2, 4, 6).unwrap();
    let clusters = KMeans::new(2, 7).unwrap().cluster(features).unwrap();
    assert_eq!(clusters.count(), 2);
    for row in clusters.segments().rows() {
        assert_eq!(row, [0, 0, 0, 1, 1, 1]);
    }
    let large = clusters.upsample(40, 60).unwrap();
    for row in large.rows() {
        assert!(row[..30].iter().all(|&id| id == 0) && row[30..].iter().all(|&id| id == 1));
    }
    assert_eq!(clusters.upsample(4, 6).unwrap(), *clusters.segments());
}

#[test]
fn clustering_is_deterministic_and_refuses_what_it_cannot_do() {
    let values: Vec<f32> = (0..300_u16).map(|i| f32::from(i * 79 % 101)).collect();
    let features = FeatureMap::new(&values, 12, 5, 5).unwrap();
    let method = KMeans::new(5, 3).unwrap();
    let (one, two) = (
        method.cluster(features).unwrap(),
        method.cluster(features).unwrap(),
    );
    assert_eq!(one.segments(), two.segments());
    let refusal = KMeans::new(26, 0).unwrap().cluster(features).unwrap_err();
    assert!(matches!(
        refusal,
        SegmentError::TooFine {
            parts: 26,
            room: 25,
            ..
        }
    ));
    assert!(KMeans::new(0, 0).is_err() && KMeans::new(257, 0).is_err());
    let mut values = values;
    values[100] = f32::NAN;
    let features = FeatureMap::new(&values, 12, 5, 5).unwrap();
    let refusal = method.cluster(features).unwrap_err();
    assert_eq!(refusal, SegmentError::NotFinite { channel: 4 });
    let same = vec![1.0; 50];
    let features = FeatureMap::new(&same, 2, 5, 5).unwrap();
    assert_eq!(method.cluster(features).unwrap().count(), 1);
}
