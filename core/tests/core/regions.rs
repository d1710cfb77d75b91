//! Masks, grids and pooling against what the published code and pycocotools compute, and what must always hold.

use std::num::NonZeroU32;
use std::path::Path;

use crate::golden;
use detcon_core::image::ImageLimits;
use detcon_core::preprocess::{Preprocess, Window};
use detcon_core::regions::coco::{self, Annotation, CocoRle, Crowds};
use detcon_core::regions::{
    Mask, PolygonBudget, RegionCells, RegionError, RegionSet, View, color_png, overlay,
    segment_masks,
};
use detcon_core::segment::{FeatureMap, SegmentMap};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde::Deserialize;

const STRIDE: NonZeroU32 = NonZeroU32::new(32).unwrap();

fn u32s(bytes: &[u8]) -> Vec<u32> {
    let values = bytes.as_chunks::<4>().0.iter();
    values.map(|&value| u32::from_le_bytes(value)).collect()
}

#[test]
fn majorities_of_cells_are_upstreams() {
    let file = std::fs::read(golden::folder().join("objective/masks.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let mut compared = 0;
    for (key, masks) in golden.tensors() {
        let Some(name) = key.strip_suffix(".mask") else {
            continue;
        };
        let binary = golden.tensor(&format!("{name}.binary")).unwrap();
        let [images, height, width] = *masks.shape() else {
            panic!("{key}: {:?}", masks.shape());
        };
        let [_, ids, cells] = *binary.shape() else {
            panic!("{key}: {:?}", binary.shape());
        };
        for image in 0..images {
            let labels = &masks.data()[image * height * width..][..height * width];
            let size = [height, width].map(|side| u32::try_from(side).unwrap());
            let labels = labels.iter().copied().map(u16::from).collect();
            let grid = SegmentMap::new(size[0], size[1], labels)
                .unwrap()
                .majority(STRIDE);
            let expected = &binary.data()[image * ids * cells..][..ids * cells];
            assert_eq!(grid.ids().len(), cells);
            for (i, &value) in expected.iter().enumerate() {
                let won = usize::from(grid.ids()[i % cells]) == i / cells;
                assert_eq!(
                    value != 0,
                    won,
                    "{key}, id {}, cell {}",
                    i / cells,
                    i % cells
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "no reference masks");
}

#[test]
fn regions_of_photographs_are_upstreams() {
    let file = std::fs::read(golden::folder().join("encoder/photos.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let (_, header) = SafeTensors::read_metadata(&file).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let size: u32 = metadata["size"].parse().unwrap();
    let stride: NonZeroU32 = metadata["mask_stride"].parse().unwrap();
    let key = format!(".png.mask{size}");
    let mut compared = 0;
    for (name, reference) in golden.tensors() {
        let Some(name) = name.strip_suffix(&key) else {
            continue;
        };
        let path = metadata["mask_file"].replace("NAME", name);
        let labels = std::fs::read(golden::folder().join(path)).unwrap();
        let map = SegmentMap::from_png(&labels, &ImageLimits::default()).unwrap();
        let preprocess = Preprocess::center_crop(size).unwrap();
        let view = View::preprocessed(&preprocess, map.height(), map.width(), stride).unwrap();
        let input = map
            .crop(view.window())
            .unwrap()
            .resize_nearest(size, size)
            .unwrap();
        let expected = reference.data().iter().copied().map(u16::from);
        assert!(
            input.ids().iter().copied().eq(expected),
            "{name}: the input's mask differs"
        );

        let cells = RegionSet::from_segments(map).on_grid(&view).unwrap();
        assert_regions(&golden, name, &cells);
        compared += 1;
    }
    assert!(compared > 0, "no reference regions");
}

/// Compares ids and numbers of cells.
fn assert_regions(golden: &SafeTensors<'_>, name: &str, cells: &RegionCells) {
    let reference = |what: &str| {
        let tensor = golden.tensor(&format!("{name}.png.region_{what}"));
        u32s(tensor.unwrap().data())
    };
    let ids = cells.regions().map(|(id, _)| u32::from(id));
    assert_eq!(ids.collect::<Vec<_>>(), reference("ids"), "{name}");
    let counts = cells
        .regions()
        .map(|(_, cells)| cells.len().try_into().unwrap());
    assert_eq!(counts.collect::<Vec<u32>>(), reference("cells"), "{name}");
}

/// A polygon, and what pycocotools makes of it.
#[derive(Deserialize)]
struct Reference {
    size: [u32; 2],
    polygon: Vec<f64>,
    compressed: String,
    counts: Vec<u32>,
    area: u64,
    #[serde(rename = "box")]
    bounds: [u32; 4],
}

#[test]
fn polygons_and_run_lengths_are_those_of_pycocotools() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/core/regions/pycocotools.json");
    let cases: Vec<Reference> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "no reference polygons");
    for case in cases {
        let [height, width] = case.size;
        let mut budget = PolygonBudget::default();
        let mask = Mask::from_polygon(height, width, &case.polygon, &mut budget).unwrap();
        assert_eq!(mask.counts(), case.counts, "{:?}", case.polygon);
        assert_eq!(mask.to_compressed(), case.compressed);
        assert_eq!(mask.area(), case.area);
        assert_eq!(mask.bounds().to_array(), case.bounds, "{:?}", case.polygon);
        let text = case.compressed.as_bytes();
        assert_eq!(Mask::from_compressed(height, width, text).unwrap(), mask);
        assert_eq!(
            Mask::from_counts(height, width, &case.counts).unwrap(),
            mask
        );
    }
}

#[test]
fn annotations_make_a_label_map_with_the_later_on_top() {
    let annotations = serde_json::json!([
        { "id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [[0, 0, 4, 0, 4, 2, 0, 2]] },
        { "iscrowd": 1, "segmentation": { "size": [3, 6], "counts": [12, 6] } },
        { "segmentation": { "size": [3, 6], "counts": [9, 2, 7] } },
    ]);
    let annotations: Vec<Annotation> = serde_json::from_value(annotations).unwrap();
    let map = coco::segment_map(&annotations, 3, 6, Crowds::Keep).unwrap();
    let expected = [[1, 1, 1, 3, 2, 2], [1, 1, 1, 3, 2, 2], [0, 0, 0, 0, 2, 2]];
    assert_eq!(map.ids(), expected.concat());
    let map = coco::segment_map(&annotations, 3, 6, Crowds::Background).unwrap();
    let expected = [[1, 1, 1, 3, 0, 0], [1, 1, 1, 3, 0, 0], [0; 6]];
    assert_eq!(map.ids(), expected.concat());
    let refusal = coco::segment_map(&annotations, 4, 6, Crowds::Keep).unwrap_err();
    assert!(
        matches!(refusal, RegionError::SizeMismatch { .. }),
        "{refusal}"
    );
    for no_region in [
        serde_json::json!({ "segmentation": "text" }),
        serde_json::json!({ "segmentation": [[0, "1"]] }),
        serde_json::json!({ "segmentation": { "size": [3, 6], "counts": 5 } }),
        serde_json::json!({ "segmentation": { "counts": [18] } }),
    ] {
        assert!(serde_json::from_value::<Annotation>(no_region).is_err());
    }
    let group = serde_json::json!({ "iscrowd": 2, "segmentation": [] });
    assert!(serde_json::from_value::<Annotation>(group).is_err());
}

#[test]
fn run_lengths_that_do_not_cover_the_mask_are_refused() {
    for counts in [&[][..], &[11], &[13], &[5, 3], &[u32::MAX, u32::MAX, 14]] {
        let refusal = Mask::from_counts(3, 4, counts).unwrap_err();
        assert!(matches!(refusal, RegionError::RunSum { .. }), "{counts:?}");
    }
    for (height, width) in [(0, 4), (4, 0), (65_536, 65_536), (u32::MAX, 2)] {
        let refusal = Mask::from_counts(height, width, &[]).unwrap_err();
        assert!(
            matches!(refusal, RegionError::MaskSize { .. }),
            "{height}x{width}"
        );
    }
    for text in ["P", "ooooooooo", "~", " ", "0K", "\u{e9}"] {
        let refusal = Mask::from_compressed(3, 4, text.as_bytes()).unwrap_err();
        assert!(
            matches!(refusal, RegionError::RunText { .. }),
            "{text:?}: {refusal}"
        );
    }
    let rle = r#"{"size": [3, 4], "counts": [12], "surplus": 1}"#;
    assert!(serde_json::from_str::<CocoRle>(rle).is_err());
}

#[test]
fn hostile_polygons_are_refused() {
    let draw = |points: &[f64]| {
        Mask::from_polygon(10, 10, points, &mut PolygonBudget::default()).unwrap_err()
    };
    for points in [
        &[][..],
        &[1.0, 2.0, 3.0, 4.0],
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    ] {
        assert!(
            matches!(draw(points), RegionError::PolygonPoints { .. }),
            "{points:?}"
        );
    }
    for far in [f64::NAN, f64::INFINITY, -1e9, 1e300] {
        let refusal = draw(&[1.0, 1.0, 5.0, far, 3.0, 3.0]);
        assert!(matches!(refusal, RegionError::Coordinate { .. }), "{far}");
    }
    let points = [[-1e6, -1e6], [1e6, 1e6]].concat().repeat(100);
    assert!(matches!(draw(&points), RegionError::PolygonLength { .. }));
}

#[test]
fn given_masks_may_overlap_and_small_ones_are_dropped() {
    let boxes = [
        [0.0, 0.0, 64.0, 64.0],
        [20.0, 0.0, 44.0, 32.0],
        [40.0, 40.0, 8.0, 8.0],
        [0.0, 0.0, 16.0, 32.0],
    ];
    let mut budget = PolygonBudget::default();
    let masks = boxes.map(|region| Mask::from_box(64, 70, region, &mut budget).unwrap());
    let regions = RegionSet::from_masks(masks.to_vec()).unwrap();
    let whole = Window {
        offset_y: 0,
        offset_x: 0,
        height: 64,
        width: 70,
    };
    let cells = regions
        .on_grid(&View::new(whole, 64, 70, STRIDE).unwrap())
        .unwrap();
    assert_eq!(cells.grid(), [2, 3]);
    let won: Vec<(u16, Vec<u32>)> = cells
        .regions()
        .map(|(id, cells)| (id, cells.to_vec()))
        .collect();
    // The last mask covers exactly half a cell, which is not more than half.
    assert_eq!(won, [(0, vec![0, 1, 3, 4]), (1, vec![1])]);
    assert_eq!(cells.dropped(), [2, 3]);
    let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
    let pooled = cells
        .pool(FeatureMap::new(&values, 2, 2, 3).unwrap())
        .unwrap();
    assert_eq!(pooled, [2.0, 8.0, 1.0, 7.0]);
    let refusal = cells
        .pool(FeatureMap::new(&values, 2, 3, 2).unwrap())
        .unwrap_err();
    assert!(matches!(refusal, RegionError::SizeMismatch { .. }));
}

#[test]
fn sets_of_no_masks_or_of_different_sizes_are_refused() {
    assert_eq!(
        RegionSet::from_masks(Vec::new()).unwrap_err(),
        RegionError::NoRegions
    );
    let masks =
        [(3, 4), (4, 3)].map(|(height, width)| Mask::from_counts(height, width, &[12]).unwrap());
    let refusal = RegionSet::from_masks(masks.to_vec()).unwrap_err();
    assert!(matches!(refusal, RegionError::SizeMismatch { .. }));
    let regions = RegionSet::from_masks(vec![masks[0].clone()]).unwrap();
    assert!(regions.check_size(3, 4).is_ok() && regions.check_size(4, 3).is_err());
}

#[test]
fn overlays_of_photographs_have_their_size_and_colour_maps_read_back() {
    let photographs = golden::photographs();
    let photograph = photographs.first().unwrap();
    let (height, width) = (photograph.height(), photograph.width());
    let ids = (0..height * width)
        .map(|pixel| u16::from(pixel % width > width / 2))
        .collect();
    let map = SegmentMap::new(height, width, ids).unwrap();
    let picture = overlay(photograph, &map).unwrap();
    assert_eq!((picture.height(), picture.width()), (height, width));
    assert_ne!(&picture, photograph);
    let again = SegmentMap::from_png(&color_png(&map), &ImageLimits::default()).unwrap();
    assert_eq!(again, map);
    let half = map.resize_nearest(height / 2, width / 2).unwrap();
    assert!(overlay(photograph, &half).is_err());
}

fn maps() -> impl Strategy<Value = SegmentMap> {
    (1_u32..40, 1_u32..40, 1_u16..6).prop_flat_map(|(height, width, ids)| {
        prop::collection::vec(0..ids, (height * width) as usize)
            .prop_map(move |ids| SegmentMap::new(height, width, ids).unwrap())
    })
}

proptest! {
    #[test]
    fn masks_survive_both_kinds_of_run_lengths(
        (height, width, pixels) in (1_u32..30, 1_u32..30).prop_flat_map(|(height, width)| {
            let pixels = prop::collection::vec(any::<bool>(), (height * width) as usize);
            (Just(height), Just(width), pixels)
        }),
    ) {
        let mask = Mask::from_pixels(height, width, &pixels).unwrap();
        prop_assert_eq!(mask.to_pixels(), &pixels[..]);
        prop_assert_eq!(mask.area(), pixels.iter().filter(|pixel| **pixel).count() as u64);
        prop_assert_eq!(&Mask::from_counts(height, width, &mask.counts()).unwrap(), &mask);
        let rle = serde_json::to_string(&CocoRle::from(&mask)).unwrap();
        let rle: CocoRle = serde_json::from_str(&rle).unwrap();
        prop_assert_eq!(Mask::try_from(&rle).unwrap(), mask);
    }

    #[test]
    fn any_run_lengths_never_panic(
        height: u32, width: u32, small in 1_u32..9,
        text in prop::collection::vec(any::<u8>(), 0..40),
        counts in prop::collection::vec(any::<u32>(), 0..20),
    ) {
        let _ = Mask::from_compressed(height, width, &text);
        let _ = Mask::from_compressed(small, small, &text);
        let digits: Vec<u8> = text.iter().map(|byte| b'0' + byte % 64).collect();
        let _ = Mask::from_compressed(small, small, &digits);
        let _ = Mask::from_counts(height, width, &counts);
    }

    #[test]
    fn any_polygon_is_drawn_or_refused(points in prop::collection::vec(-1e4_f64..1e4, 0..20)) {
        let drawn = Mask::from_polygon(50, 70, &points, &mut PolygonBudget::default());
        prop_assert_eq!(drawn.is_ok(), points.len() % 2 == 0 && points.len() >= 6);
    }

    #[test]
    fn flips_undo_themselves_and_commute_with_crops(map in maps(), [y, x] in any::<[u32; 2]>()) {
        let (offset_y, offset_x) = (y % map.height(), x % map.width());
        let (height, width) = (map.height() - offset_y, map.width() - offset_x);
        let window = Window { offset_y, offset_x, height, width };
        let mirrored = Window { offset_x: 0, ..window };
        let flipped = map.clone().flip_horizontal();
        prop_assert_eq!(&flipped.clone().flip_horizontal(), &map);
        let cropped = map.crop(window).unwrap();
        prop_assert_eq!(flipped.crop(mirrored).unwrap(), cropped.clone().flip_horizontal());
        prop_assert_eq!(cropped.resize_nearest(height, width).unwrap(), cropped);
        let outside = Window { width: width + 1, ..window };
        prop_assert!(map.crop(outside).is_err());
    }

    #[test]
    fn enlarging_by_a_whole_factor_repeats_pixels(map in maps(), factor in 1_u32..5) {
        let large = map.resize_nearest(map.height() * factor, map.width() * factor).unwrap();
        let stride = NonZeroU32::new(factor).unwrap();
        prop_assert_eq!(large.majority(stride), map);
    }

    #[test]
    fn labels_and_their_masks_have_the_same_areas_and_boxes(map in maps()) {
        let masks = segment_masks(&map).unwrap();
        let regions = RegionSet::from_segments(map.clone());
        prop_assert_eq!(regions.regions().len(), masks.len());
        for (region, (id, mask)) in regions.regions().iter().zip(masks) {
            prop_assert_eq!((region.id, region.area, region.bounds), (id, mask.area(), mask.bounds()));
            let pixels: Vec<bool> = map.ids().iter().map(|&other| other == id).collect();
            prop_assert_eq!(Mask::from_pixels(map.height(), map.width(), &pixels).unwrap(), mask);
        }
    }

    /// Two labels leave no third to win by less than half, so that masks and labels differ in ties alone.
    #[test]
    fn a_mask_wins_the_cells_that_its_label_wins(
        map in maps(), stride in 1_u32..9, [height, width] in [1_u32..50, 1_u32..50], [y, x] in any::<[u32; 2]>(),
    ) {
        let ids = map.ids().iter().map(|id| id % 2).collect();
        let map = SegmentMap::new(map.height(), map.width(), ids).unwrap();
        let (offset_y, offset_x) = (y % map.height(), x % map.width());
        let window = Window {
            offset_y, offset_x, height: map.height() - offset_y, width: map.width() - offset_x,
        };
        let view = View::new(window, height, width, NonZeroU32::new(stride).unwrap()).unwrap();
        let pixels: Vec<bool> = map.ids().iter().map(|&id| id == 1).collect();
        let mask = Mask::from_pixels(map.height(), map.width(), &pixels).unwrap();
        let masks = RegionSet::from_masks(vec![mask]).unwrap().on_grid(&view).unwrap();
        let labels = RegionSet::from_segments(map).on_grid(&view).unwrap();
        let of_label = labels.regions().find(|(id, _)| *id == 1).map(|(_, cells)| cells.to_vec());
        let of_mask = masks.regions().next().map(|(_, cells)| cells.to_vec());
        prop_assert_eq!(of_mask, of_label);
    }
}
