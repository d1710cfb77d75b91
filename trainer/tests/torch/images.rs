//! Images without shards: folders of classes, and COCO.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detcon_tests::golden::directory;
use detcon_trainer::distributed::Share;
use detcon_trainer::loader::{
    Cells, DataPlace, DataSet, DrawnImage, DrawnView, Loader, LoaderError,
};
use detcon_trainer::recipe::{ObjectMasks, Recipe};
use image::{Rgb, RgbImage};

fn recipe() -> Recipe {
    let text = "batch = 4\nimage_size = 96\n[masks]\nscale = 50.0\nmin_size = 100\nsigma = 0.5";
    Recipe::parse(text, &[]).unwrap()
}

fn images(place: impl Into<DataPlace>, recipe: &Recipe) -> Result<Vec<DrawnImage>, LoaderError> {
    let (_, mut loader) = Loader::open(place, *recipe, 0, NonZeroUsize::MIN)?;
    let batch = loader.next().unwrap()?;
    Ok(batch.images().to_vec())
}

/// The id of each cell.
fn grid(view: &DrawnView) -> Vec<u16> {
    let Cells::Flat(grid) = &view.cells else {
        panic!("objects in layers")
    };
    grid.clone()
}

/// Two classes of two photographs each, as in `cats/a.jpg`.
fn photographs(folder: &Path) {
    let mut photographs: Vec<PathBuf> = fs::read_dir(directory().join("images"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .collect();
    photographs.sort();
    for (number, path) in photographs.iter().take(4).enumerate() {
        let class = folder.join(["first", "second"][number % 2]);
        fs::create_dir_all(&class).unwrap();
        fs::copy(path, class.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn folders_of_images_get_their_masks_on_the_way_with_a_cache_or_without() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path());
    let without = images(folder.path(), &recipe()).unwrap();
    let labels: BTreeSet<_> = without.iter().map(|image| image.label).collect();
    assert_eq!(labels, BTreeSet::from([Some(0), Some(1)]));
    let segments = |image: &DrawnImage| BTreeSet::from_iter(grid(&image.views[0])).len();
    assert!(without.iter().any(|image| segments(image) > 1));

    let cache = tempfile::tempdir().unwrap();
    let place = DataPlace {
        mask_cache: Some(cache.path().to_owned()),
        ..DataPlace::from(folder.path())
    };
    for _ in 0..2 {
        assert_eq!(images(place.clone(), &recipe()).unwrap(), without);
    }
    let kept = files(cache.path());
    assert_eq!(kept.len(), 4, "{kept:?}");
    // Of other settings, other masks; one that is damaged is made again.
    fs::write(&kept[0], b"no PNG").unwrap();
    assert_eq!(images(place.clone(), &recipe()).unwrap(), without);
    let mut other = recipe();
    other.masks.scale = 10.0;
    images(place, &other).unwrap();
    assert_eq!(files(cache.path()).len(), 8);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Images left dark and right light, whose object is the right half, in COCO's words.
fn coco(folder: &Path, images: u32) -> DataPlace {
    let (mut listed, mut instances) = (Vec::new(), Vec::new());
    for id in 0..images {
        let picture = RgbImage::from_fn(128, 96, |x, _| Rgb([if x < 64 { 0 } else { 250 }; 3]));
        picture.save(folder.join(format!("{id}.png"))).unwrap();
        let name = format!("{id}.png");
        listed.push(serde_json::json!({"id": id, "file_name": name, "height": 96, "width": 128}));
        let outline = [[64, 0, 128, 0, 128, 96, 64, 96]];
        instances.push(
            serde_json::json!({"id": id, "image_id": id, "segmentation": outline, "iscrowd": 0}),
        );
    }
    let annotations = folder.join("instances.json");
    let file = serde_json::json!({"images": listed, "annotations": instances});
    fs::write(&annotations, file.to_string()).unwrap();
    DataPlace {
        annotations: Some(annotations),
        ..DataPlace::from(folder)
    }
}

#[test]
fn cocos_objects_are_the_masks_of_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let place = coco(folder.path(), 4);
    for image in images(place, &recipe()).unwrap() {
        assert_eq!(image.label, None);
        for view in &image.views {
            for (cell, id) in grid(view).into_iter().enumerate() {
                let (left, top) = (cell % 3 * 32, cell / 3 * 32);
                let light = (0..32).filter(|x| view.pixels[3 * ((top + 16) * 96 + left + x)] > 125);
                assert_eq!(u16::from(light.count() > 16), id);
            }
        }
    }
}

#[test]
fn images_that_cannot_be_used_are_passed_over_and_named_and_too_many_stop() {
    let folder = tempfile::tempdir().unwrap();
    let place = coco(folder.path(), 150);
    let unlisted_size = RgbImage::new(50, 50);
    unlisted_size.save(folder.path().join("7.png")).unwrap();
    let epoch = |place: DataPlace| {
        let mut recipe = recipe();
        (recipe.batch, recipe.image_size) = (150, 32);
        let data = Arc::new(DataSet::open(place, recipe.masks).unwrap());
        let threads = NonZeroUsize::MIN;
        let mut loader =
            Loader::start(Arc::clone(&data), recipe, Share::WHOLE, 0, threads).unwrap();
        loader.next().unwrap().map(|_| data.damaged())
    };
    let damaged: Vec<String> = epoch(place.clone()).unwrap().into_values().collect();
    assert_eq!(damaged.len(), 1);
    assert!(
        damaged[0].contains("7.png has no mask") && damaged[0].contains("96x128"),
        "{damaged:?}"
    );
    unlisted_size.save(folder.path().join("8.png")).unwrap();
    let error = epoch(place).unwrap_err().to_string();
    assert!(error.contains("2 of 150 images cannot be used"), "{error}");
    assert!(!error.contains('\n'));
}

/// As on a disk that is gone for a second: no other image takes its place.
#[test]
fn an_image_that_cannot_be_read_is_waited_for_and_then_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let place = coco(folder.path(), 4);
    let expected = images(place.clone(), &recipe()).unwrap();
    let (here, away) = (folder.path().join("1.png"), folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let (from, to) = (away.clone(), here.clone());
    let back = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        fs::rename(from, to).unwrap();
    });
    assert_eq!(images(place.clone(), &recipe()).unwrap(), expected);
    back.join().unwrap();
    fs::remove_file(here).unwrap();
    let error = images(place, &recipe()).unwrap_err().to_string();
    assert!(error.contains("1.png: No such file"), "{error}");
}

/// Two objects of which the second lies on the first, and a third that is nowhere.
#[test]
fn objects_that_overlap_are_pooled_without_being_flattened() {
    let folder = tempfile::tempdir().unwrap();
    let place = coco(folder.path(), 4);
    let path = place.annotations.clone().unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let list = file["annotations"].as_array_mut().unwrap();
    for id in 0..4 {
        for (place, outline) in [
            (100, [0, 0, 128, 0, 128, 96, 0, 96]),
            (200, [0, 0, 1, 0, 1, 1, 0, 1]),
        ] {
            list.push(
                serde_json::json!({"id": place + id, "image_id": id, "segmentation": [outline]}),
            );
        }
    }
    fs::write(&path, file.to_string()).unwrap();
    let mut recipe = recipe();
    recipe.masks.objects = ObjectMasks::Overlapping;
    let mut shared = 0;
    for image in images(place, &recipe).unwrap() {
        for view in &image.views {
            assert!(
                view.ids.iter().all(|id| [1, 2].contains(id)),
                "{:?}",
                view.ids
            );
            for cell in 0..view.cells.count() {
                let light = view.pixels[3 * ((cell / 3 * 32 + 16) * 96 + cell % 3 * 32 + 16)] > 125;
                assert!(view.cells.holds(2, cell));
                shared += usize::from(light && view.cells.holds(1, cell));
            }
        }
    }
    assert!(shared > 0);
}

#[test]
fn images_without_folders_are_images_without_classes() {
    let [flat, folders] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    photographs(folders.path());
    for path in files(folders.path()) {
        fs::copy(&path, flat.path().join(path.file_name().unwrap())).unwrap();
    }
    let found = images(flat.path(), &recipe()).unwrap();
    assert!(found.len() == 4 && found.iter().all(|image| image.label.is_none()));
    let data = DataSet::open(flat.path(), recipe().masks).unwrap();
    assert!(!data.has_classes());
}

#[test]
fn a_folder_that_is_neither_says_so_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("class")).unwrap();
    let error = images(folder.path(), &recipe()).unwrap_err().to_string();
    assert!(error.contains("holds no images"), "{error}");
    let place = DataPlace {
        annotations: Some(folder.path().join("none.json")),
        ..DataPlace::from(folder.path())
    };
    assert!(
        images(place, &recipe())
            .unwrap_err()
            .to_string()
            .contains("none.json")
    );
    assert!(
        images("/nowhere", &recipe())
            .unwrap_err()
            .to_string()
            .contains("/nowhere")
    );
}
