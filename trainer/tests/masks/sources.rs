//! Masks that are not Felzenszwalb's: a grid, objects as COCO writes them, label PNGs.

use detcon_core::image::{ImageLimits, decode_stored};
use detcon_core::regions::Mask;
use detcon_core::segment::SegmentMap;
use detcon_data::sample::Sample;
use detcon_data::shards::Split;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{assert_mask_fits, error, filename, fixture, folder, run, samples, summary};

const ONE_SHARD: [&str; 2] = ["--shards", "1"];

/// The size of a fixture: height, width.
fn size(name: &str) -> [u32; 2] {
    let image = decode_stored(&fixture(name), &ImageLimits::default()).unwrap();
    [image.height(), image.width()]
}

/// A mask of the pixels from `left` on.
fn right_half(height: u32, width: u32, left: u32) -> Mask {
    let pixels = (0..height * width).map(|pixel| pixel % width >= left);
    Mask::from_pixels(height, width, &pixels.collect::<Vec<_>>()).unwrap()
}

/// Objects of every kind on one photograph, and images that cannot be used.
fn coco() -> Value {
    let [height, width] = size("baseline_420.jpg");
    let crowd = right_half(height, width, width - 4);
    let plain = right_half(height, width, width - 2);
    let rle = |counts: Value| json!({"size": [height, width], "counts": counts});
    let image = |id: u64, name: &str, height: u32, width: u32| json!({"id": id, "file_name": name, "height": height, "width": width, "license": 1});
    json!({
        "info": {"year": 2017},
        "images": [
            image(1, "all.jpg", height, width),
            image(2, "none.jpg", height, width),
            image(3, "missing.jpg", height, width),
            image(4, "other_size.jpg", height + 1, width),
            image(5, "other_rle.jpg", height, width),
        ],
        "annotations": [
            {"id": 10, "image_id": 1, "category_id": 3, "iscrowd": 0, "bbox": [0, 0, 5, 4],
             "segmentation": [[0, 0, 5, 0, 5, 4, 0, 4], [0, 8, 5, 8, 5, 10, 0, 10]]},
            {"id": 11, "image_id": 1, "category_id": 3, "segmentation": rle(json!(plain.counts()))},
            {"id": 12, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": rle(json!(crowd.to_compressed()))},
            {"id": 13, "image_id": 5, "category_id": 1, "segmentation": {"size": [2, 2], "counts": [4]}},
        ],
        "categories": [{"id": 1, "name": "person"}],
    })
}

fn annotated(coco: &Value) -> TempDir {
    let jpeg = fixture("baseline_420.jpg");
    let text = coco.to_string().into_bytes();
    let mut files = vec![("instances.json", text)];
    files.extend(
        [
            "images/all.jpg",
            "images/none.jpg",
            "images/other_size.jpg",
            "images/other_rle.jpg",
            "images/stray.jpg",
        ]
        .map(|name| (name, jpeg.clone())),
    );
    folder(files)
}

fn named(samples: &[Sample], name: &str) -> SegmentMap {
    let found = samples.iter().find(|sample| filename(sample) == name);
    found.unwrap_or_else(|| panic!("no {name}")).mask.clone()
}

#[test]
fn objects_of_coco_become_masks_and_what_does_not_fit_is_listed() {
    let input = annotated(&coco());
    let output = tempfile::tempdir().unwrap();
    let annotations = input.path().join("instances.json");
    let arguments = ["--annotations", annotations.to_str().unwrap()];
    let arguments = [&ONE_SHARD[..], &arguments].concat();
    let summary = summary(&input.path().join("images"), output.path(), &arguments, 1);
    let mut failures: Vec<_> = summary["failures"].as_array().unwrap().iter().collect();
    failures.sort_by_key(|failure| failure["path"].as_str().unwrap());
    let expected = [
        ("missing.jpg", "could not be read"),
        ("other_rle.jpg", "A mask is 2x2 pixels"),
        ("other_size.jpg", "and the image as stored has"),
    ];
    assert_eq!(failures.len(), expected.len(), "{failures:?}");
    for (failure, (path, reason)) in failures.iter().zip(expected) {
        assert_eq!(failure["path"], path);
        assert!(
            failure["reason"].as_str().unwrap().contains(reason),
            "{failure}"
        );
    }
    let samples = samples(output.path(), Split::Train);
    assert_eq!(
        samples.len(),
        2,
        "an image that no annotation names is none of the set"
    );
    samples.iter().for_each(assert_mask_fits);
    assert!(samples.iter().all(|sample| sample.label.is_none()));
    assert_eq!(named(&samples, "none.jpg").distinct(), [0]);
    let map = named(&samples, "all.jpg");
    let [height, width] = [map.height(), map.width()];
    let expected = (0..height * width).map(|pixel| {
        let (y, x) = (pixel / width, pixel % width);
        match (x, y) {
            (x, _) if x >= width - 2 => 3, // the last object, on the crowd
            (x, _) if x >= width - 4 => 1, // the crowd, below all
            (0..5, 0..4 | 8..10) => 2,     // both polygons of the first object
            _ => 0,
        }
    });
    assert!(map.ids().iter().copied().eq(expected));
}

#[test]
fn annotations_that_contradict_themselves_are_refused_and_name_what() {
    let broken = |edit: &dyn Fn(&mut Value)| {
        let mut coco = coco();
        edit(&mut coco);
        coco
    };
    let cases = [
        (
            broken(&|it| it["images"][1]["id"] = 1.into()),
            "two images have the id 1",
        ),
        (
            broken(&|it| it["images"][1]["file_name"] = "all.jpg".into()),
            "two images are called all.jpg",
        ),
        (
            broken(&|it| it["images"][1]["file_name"] = "../all.jpg".into()),
            "leads out of the images' folder",
        ),
        (
            broken(&|it| it["annotations"][1]["image_id"] = 99.into()),
            "an annotation is of the image 99",
        ),
        (
            broken(&|it| it["annotations"][1]["iscrowd"] = 2.into()),
            "iscrowd",
        ),
        (json!({"images": []}), "annotations"),
    ];
    for (coco, named) in cases {
        let input = annotated(&coco);
        let output = tempfile::tempdir().unwrap();
        let annotations = input.path().join("instances.json");
        let arguments = ["--annotations", annotations.to_str().unwrap()];
        let refused = run(&input.path().join("images"), output.path(), &arguments, 1);
        assert!(
            error(&refused).contains(named),
            "{named}: {}",
            error(&refused)
        );
    }
}

/// What pycocotools reads: names with `./`, whole numbers written as floats, flags as booleans, and instances that
/// nobody outlined.
#[test]
fn annotations_are_read_however_their_numbers_and_names_are_written() {
    let of = |edit: &dyn Fn(&mut Value), flags: &[&str], code: i32| {
        let mut coco = coco();
        coco["images"].as_array_mut().unwrap().truncate(2);
        coco["annotations"].as_array_mut().unwrap().truncate(3);
        edit(&mut coco);
        let input = annotated(&coco);
        let output = tempfile::tempdir().unwrap();
        let annotations = input.path().join("instances.json");
        let arguments = ["--annotations", annotations.to_str().unwrap()];
        let arguments = [&ONE_SHARD[..], &arguments, flags].concat();
        let done = run(
            &input.path().join("images"),
            output.path(),
            &arguments,
            code,
        );
        let samples = samples(output.path(), Split::Train);
        (named(&samples, "all.jpg"), error(&done))
    };
    let nothing = |_: &mut Value| {};
    let (expected, said) = of(&nothing, &[], 0);
    assert!(said.is_empty(), "{said}");
    let odd = |coco: &mut Value| {
        let image = &mut coco["images"][0];
        image["file_name"] = "./all.jpg".into();
        for key in ["id", "height", "width"] {
            image[key] = image[key].as_f64().unwrap().into();
        }
        for (place, crowd) in [(0, false), (2, true)] {
            coco["annotations"][place]["iscrowd"] = crowd.into();
        }
        coco["annotations"][1]["image_id"] = 1.0.into();
        let rle = &mut coco["annotations"][1]["segmentation"];
        for list in ["size", "counts"] {
            for number in rle[list].as_array_mut().unwrap() {
                *number = number.as_f64().unwrap().into();
            }
        }
    };
    let (found, said) = of(&odd, &[], 0);
    assert!(found == expected && said.is_empty(), "{said}");

    // The first object is a box and a second polygon; without its outline nothing of it is left, or the box.
    for missing in [Value::Null, json!([]), json!(0)] {
        let boxed = |coco: &mut Value| {
            let first = &mut coco["annotations"][0];
            if missing == json!(0) {
                first.as_object_mut().unwrap().remove("segmentation");
            } else {
                first["segmentation"] = missing.clone();
            }
        };
        let (skipped, said) = of(&boxed, &[], 0);
        assert!(
            said.contains("1 annotations have no segmentation") && said.contains("id 10"),
            "{said}"
        );
        let of_box = |map: &SegmentMap| (map.ids()[0], map.ids()[8 * map.width() as usize]);
        assert_eq!(of_box(&skipped), (0, 0));
        let (taken, said) = of(&boxed, &["--without-outline", "box"], 0);
        assert!(said.contains("taken by their boxes: id 10"), "{said}");
        assert_eq!(of_box(&taken), (2, 0));
    }
}

#[test]
fn a_link_that_leads_nowhere_is_listed_as_an_image_that_cannot_be_read() {
    let jpeg = fixture("baseline_420.jpg");
    let input = folder([("a/1.jpg", &jpeg), ("a/2.jpg", &jpeg)]);
    std::os::unix::fs::symlink("nowhere.jpg", input.path().join("a/3.jpg")).unwrap();
    let output = tempfile::tempdir().unwrap();
    let summary = summary(input.path(), output.path(), &ONE_SHARD, 1);
    assert_eq!(summary["failures"][0]["path"], "a/3.jpg");
    let reason = summary["failures"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("could not be read: No such file"),
        "{reason}"
    );
    assert_eq!(samples(output.path(), Split::Train).len(), 2);
}

/// Other annotations make other masks, so they are no continuation of the run.
#[test]
fn annotations_go_with_every_layout_and_changed_ones_with_no_begun_run() {
    let jpeg = fixture("baseline_420.jpg");
    let mut coco = coco();
    let files = [("images/a/all.jpg", &jpeg), ("images/b/unknown.jpg", &jpeg)];
    let input = folder(files.iter().map(|(name, bytes)| (*name, bytes)));
    let annotations = input.path().join("instances.json");
    let output = tempfile::tempdir().unwrap();
    let arguments = [
        "--layout",
        "imagefolder",
        "--annotations",
        annotations.to_str().unwrap(),
    ];
    let arguments = [&ONE_SHARD[..], &arguments].concat();
    let images = input.path().join("images");
    std::fs::write(&annotations, coco.to_string()).unwrap();
    let summary = summary(&images, output.path(), &arguments, 1);
    assert_eq!(summary["failures"][0]["path"], "b/unknown.jpg");
    assert_eq!(
        summary["failures"][0]["reason"],
        "The annotations do not list it."
    );
    let samples = samples(output.path(), Split::Train);
    assert_eq!(
        (samples[0].label, samples[0].mask.distinct().len()),
        (Some(0), 4)
    );

    coco["annotations"].as_array_mut().unwrap().pop();
    std::fs::write(&annotations, coco.to_string()).unwrap();
    let refused = run(&images, output.path(), &arguments, 1);
    assert!(
        error(&refused).contains("annotations.sha256"),
        "{}",
        error(&refused)
    );
}

#[test]
fn label_pngs_become_masks_and_what_does_not_fit_is_listed() {
    let [height, width] = size("baseline_420.jpg");
    let labels = |height: u32, width: u32| {
        let ids = (0..height * width).map(|pixel| if pixel % width < 3 { 7 } else { 300 });
        SegmentMap::new(height, width, ids.collect())
            .unwrap()
            .to_png()
    };
    let jpeg = fixture("baseline_420.jpg");
    let input = folder([
        ("images/c/good.jpg", jpeg.clone()),
        ("images/c/missing.jpg", jpeg.clone()),
        ("images/c/other_size.jpg", jpeg.clone()),
        ("images/c/colours.jpg", jpeg),
        ("maps/c/good.png", labels(height, width)),
        ("maps/c/other_size.png", labels(height, width + 1)),
        ("maps/c/colours.png", fixture("rgb.png")),
    ]);
    let output = tempfile::tempdir().unwrap();
    let maps = input.path().join("maps");
    let arguments = [&ONE_SHARD[..], &["--label-maps", maps.to_str().unwrap()]].concat();
    let summary = summary(&input.path().join("images"), output.path(), &arguments, 1);
    let reason = |name: &str| {
        let failures = summary["failures"].as_array().unwrap();
        let path = format!("c/{name}.jpg");
        let found = failures.iter().find(|failure| failure["path"] == path);
        found.unwrap()["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("missing").contains("label map could not be read"));
    assert!(reason("other_size").contains("Its mask is for"));
    assert!(reason("colours").contains("colours are no ids"));
    let samples = samples(output.path(), Split::Train);
    let expected = (0..height * width).map(|pixel| u16::from(pixel % width >= 3));
    assert!(
        named(&samples, "good.jpg")
            .ids()
            .iter()
            .copied()
            .eq(expected),
        "ids are compact"
    );
}

#[test]
fn a_grid_covers_every_image_and_goes_with_no_scale() {
    let input = folder([("c/1.jpg", fixture("baseline_420.jpg"))]);
    let output = tempfile::tempdir().unwrap();
    run(
        input.path(),
        output.path(),
        &["--shards", "1", "--grid", "3x4"],
        0,
    );
    assert_eq!(
        samples(output.path(), Split::Train)[0]
            .mask
            .distinct()
            .len(),
        12
    );
    let output = tempfile::tempdir().unwrap();
    for wrong in [
        &["--grid", "3"][..],
        &["--grid", "0x3"],
        &["--grid", "3x3", "--scale", "1"],
    ] {
        run(input.path(), output.path(), wrong, 2);
    }
    let coarse = summary(
        input.path(),
        output.path(),
        &["--shards", "1", "--grid", "20x20"],
        1,
    );
    let reason = coarse["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("400 segments"), "{reason}");
}
