use std::fs::{self, File};
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use detcon_core::segment::SegmentMap;
use detcon_data::sample::{Origin, Sample};
use detcon_data::shards::{OnCorrupt, SampleReader, Split, list};
use detcon_data::tfrecord::RecordWriter;
use detcon_tests::golden::directory;
use detcon_trainer::distributed::Share;
use detcon_trainer::loader::{Cells, DataSet, HostBatch, Loader, LoaderError};
use detcon_trainer::recipe::Recipe;
use image::{DynamicImage, ImageFormat, RgbImage};

fn recipe(overrides: &[&str]) -> Recipe {
    let overrides: Vec<String> = overrides.iter().map(|&it| it.to_owned()).collect();
    Recipe::parse("batch = 3\nimage_size = 96", &overrides).unwrap()
}

fn batches(folder: &Path, recipe: &Recipe, first: u64, threads: usize) -> Vec<HostBatch> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let (_, loader) = Loader::open(folder, *recipe, first, threads).unwrap();
    loader.take(4).map(Result::unwrap).collect()
}

#[test]
fn batches_are_the_same_for_any_number_of_threads_and_from_any_step() {
    let shards = directory().join("tfrecord");
    let one = batches(&shards, &recipe(&[]), 0, 1);
    for threads in [2, 4] {
        assert_eq!(
            batches(&shards, &recipe(&[]), 0, threads),
            one,
            "{threads} threads"
        );
    }
    assert_eq!(batches(&shards, &recipe(&[]), 2, 2)[..2], one[2..]);
    assert_ne!(batches(&shards, &recipe(&["seed=1"]), 0, 1), one);
}

/// A shard of PNG images of 8 vertical stripes, whose red says which segment is where.
pub(crate) fn striped(folder: &Path, images: u32) {
    let mut writer = RecordWriter::new(File::create(folder.join("train-00000-of-00001")).unwrap());
    for number in 0..images {
        let (height, width) = (100 + number, 160);
        let id = |x: u32| u8::try_from(x / 20).unwrap();
        let picture = RgbImage::from_fn(width, height, |x, _| image::Rgb([id(x) * 30, 0, 0]));
        let mut png = Cursor::new(Vec::new());
        DynamicImage::from(picture)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        let ids = (0..height * width)
            .map(|at| u16::from(id(at % width)))
            .collect();
        let sample = Sample {
            image: Bytes::from(png.into_inner()),
            label: number.checked_sub(1),
            mask: SegmentMap::new(height, width, ids).unwrap(),
            further_masks: Vec::new(),
            origin: Origin::default(),
        };
        writer
            .write(&sample.to_example().unwrap().to_bytes())
            .unwrap();
    }
}

/// Where the pixels of a view show a segment, there its mask has it: crops and mirrors are one for both.
#[test]
fn masks_move_with_their_images() {
    let folder = tempfile::tempdir().unwrap();
    striped(folder.path(), 5);
    let (mut cells, mut mirrored) = (0, 0);
    for batch in batches(folder.path(), &recipe(&[]), 0, 2) {
        for view in batch.images().iter().flat_map(|image| &image.views) {
            let red = |x: usize, y: usize| f32::from(view.pixels[3 * (y * 96 + x)]) / 30.0;
            mirrored += usize::from(red(0, 48) > red(95, 48));
            let Cells::Flat(grid) = &view.cells else {
                panic!("objects in layers")
            };
            for (cell, &id) in grid.iter().enumerate() {
                let (left, top) = (cell % 3 * 32, cell / 3 * 32);
                let shown =
                    (0..32).filter(|x| (red(left + x, top + 16) - f32::from(id)).abs() < 0.5);
                assert!(
                    shown.count() >= 6,
                    "segment {id} is not what cell {cell} shows"
                );
                cells += 1;
            }
            assert!(view.ids.len() == 16 && view.ids.iter().all(|id| grid.contains(id)));
        }
    }
    assert_eq!(cells, 4 * 3 * 2 * 9);
    assert!(
        (6..=18).contains(&mirrored),
        "{mirrored} of 24 views are mirrored"
    );
}

#[test]
fn labels_come_with_their_images() {
    let folder = tempfile::tempdir().unwrap();
    striped(folder.path(), 3);
    let batch = &batches(folder.path(), &recipe(&[]), 0, 1)[0];
    let mut labels: Vec<_> = batch.images().iter().map(|image| image.label).collect();
    labels.sort_unstable();
    assert_eq!(labels, [None, Some(0), Some(1)]);
    let device = batch.to_device(tch::Device::Cpu);
    assert_eq!(device.views[0].images.size(), [3, 3, 96, 96]);
    assert!(device.views[0].images.max().double_value(&[]) <= 1.0);
    assert!(Vec::<i64>::try_from(&device.labels).unwrap().contains(&-1));
}

/// A bit of the first record changes.
pub(crate) fn damage_first(folder: &Path) {
    let path = folder.join("train-00000-of-00001");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn damaged_records_are_passed_over_up_to_one_in_a_hundred() {
    let folder = tempfile::tempdir().unwrap();
    for (images, tolerated) in [(150, true), (20, false)] {
        striped(folder.path(), images);
        damage_first(folder.path());
        let recipe = recipe(&["batch=20", "image_size=32"]);
        let data = Arc::new(DataSet::open(folder.path(), recipe.masks).unwrap());
        assert_eq!(data.len(), u64::from(images));
        let loader = Loader::start(
            Arc::clone(&data),
            recipe,
            Share::WHOLE,
            0,
            NonZeroUsize::MIN,
        )
        .unwrap();
        let epoch: Result<Vec<_>, _> = loader.take(8).collect();
        if tolerated {
            epoch.unwrap();
            assert!(data.damaged()[&0].contains("checksum"));
        } else {
            let error = epoch.unwrap_err();
            assert!(
                matches!(
                    error,
                    LoaderError::Damaged {
                        damaged: 1,
                        images: 20,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn a_class_that_the_classifier_does_not_have_says_which_setting_to_give() {
    let folder = tempfile::tempdir().unwrap();
    striped(folder.path(), 20);
    let recipe = recipe(&["batch=20", "image_size=32", "heads.classes=4"]);
    let (_, mut loader) = Loader::open(folder.path(), recipe, 0, NonZeroUsize::MIN).unwrap();
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("(counted from 0): give --set heads.classes="),
        "{error}"
    );
}

#[test]
fn a_folder_without_shards_says_what_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let error = DataSet::open(folder.path(), recipe(&[]).masks)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no shards") && error.contains("detcon-train masks"),
        "{error}"
    );
    let empty = folder.path().join("train-00000-of-00001");
    File::create(&empty).unwrap();
    assert!(matches!(
        DataSet::open(folder.path(), recipe(&[]).masks),
        Err(LoaderError::Empty)
    ));
    fs::write(empty, [0; 30]).unwrap();
    assert!(
        DataSet::open(folder.path(), recipe(&[]).masks)
            .unwrap_err()
            .to_string()
            .contains("length")
    );
}

/// Shards may store masks of several scales: which is used is a setting.
#[test]
fn of_several_stored_masks_the_one_that_is_asked_for_is_used() {
    let folder = tempfile::tempdir().unwrap();
    striped(folder.path(), 3);
    let shards = list(folder.path(), Split::Train).unwrap();
    let samples: Vec<Sample> = SampleReader::new(shards, OnCorrupt::Fail)
        .map(Result::unwrap)
        .collect();
    let path = folder.path().join("train-00000-of-00001");
    let mut writer = RecordWriter::new(File::create(path).unwrap());
    for mut sample in samples {
        let (height, width) = (sample.mask.height(), sample.mask.width());
        let ids = vec![77; sample.mask.ids().len()];
        sample.further_masks = vec![SegmentMap::new(height, width, ids).unwrap()];
        writer
            .write(&sample.to_example().unwrap().to_bytes())
            .unwrap();
    }
    let ids = |recipe: &Recipe| {
        let batch = batches(folder.path(), recipe, 0, 1).swap_remove(0);
        batch.images()[0].views[0].ids.clone()
    };
    assert!(ids(&recipe(&["masks.stored=1"])).iter().all(|&id| id == 77));
    assert!(ids(&recipe(&[])).iter().all(|&id| id < 8));
    let beyond = recipe(&["masks.stored=2"]);
    let (_, mut loader) = Loader::open(folder.path(), beyond, 0, NonZeroUsize::MIN).unwrap();
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("has 2 masks") && error.contains("give 1 or less"),
        "{error}"
    );
}

#[test]
fn compressed_shards_are_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0];
    for name in ["train-00000-of-00001", "train-00000-of-00001.gz"] {
        fs::write(folder.path().join(name), gzip).unwrap();
        let error = DataSet::open(folder.path(), recipe(&[]).masks)
            .unwrap_err()
            .to_string();
        assert!(error.contains("compressed with gzip"), "{error}");
        fs::remove_file(folder.path().join(name)).unwrap();
    }
}

/// A rank's share of each batch is what the whole batch has there.
#[test]
fn the_shares_of_two_ranks_are_the_batch_of_one() {
    let shards = directory().join("tfrecord");
    let recipe = recipe(&["batch=4"]);
    let data = Arc::new(DataSet::open(&shards, recipe.masks).unwrap());
    let drawn = |share: Share, threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let loader = Loader::start(Arc::clone(&data), recipe, share, 0, threads).unwrap();
        let batches = loader.take(3).map(|batch| batch.unwrap().images().to_vec());
        batches.collect::<Vec<_>>()
    };
    let whole = drawn(Share::WHOLE, 1);
    let [first, second] =
        [(0, 2), (1, 4)].map(|(rank, threads)| drawn(Share::new(rank, 2).unwrap(), threads));
    for (step, batch) in whole.iter().enumerate() {
        assert_eq!([&first[step][..], &second[step][..]].concat(), *batch);
    }
}

/// The shards of one rank of two are gone for a second, while it reads: its batches, and so those of both, are the same.
#[test]
fn a_rank_that_loses_its_disk_for_a_second_has_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    striped(folder.path(), 12);
    let (here, away) = (
        folder.path().join("train-00000-of-00001"),
        folder.path().join("away"),
    );
    let recipe = recipe(&["batch=4"]);
    let open = || Arc::new(DataSet::open(folder.path(), recipe.masks).unwrap());
    let drawn = |data: &Arc<DataSet>| {
        let (share, threads) = (Share::new(1, 2).unwrap(), NonZeroUsize::MIN);
        let loader = Loader::start(Arc::clone(data), recipe, share, 0, threads).unwrap();
        let batches = loader.take(6).map(|batch| batch.unwrap().images().to_vec());
        batches.collect::<Vec<_>>()
    };
    let expected = drawn(&open());
    let data = open();
    fs::rename(&here, &away).unwrap();
    let (from, to) = (away, here);
    let back = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        fs::rename(from, to).unwrap();
    });
    let begin = Instant::now();
    let found = drawn(&data);
    println!(
        "six shares of batches in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    back.join().unwrap();
    assert!(found == expected, "other images in the batches");
    assert!(data.damaged().is_empty(), "{:?}", data.damaged());
}
