//! Segmentations of real photographs, label for label what scikit-image makes of them, and properties of label maps.

mod common;

use detcon_core::image::{ImageLimits, RgbImage};
use detcon_core::segment::{Felzenszwalb, SegmentMap, Workspace};
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
    let folder = common::golden().join("felzenszwalb");
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&index).unwrap();
    let mut workspace = Workspace::default();
    assert!(!cases.is_empty(), "no reference segmentations");
    for case in cases {
        let path = common::golden().join(format!("images/{}.png", case.image));
        let photograph = common::photograph(&path);
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
