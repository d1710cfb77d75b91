//! A data set to learn from, drawn: textured shapes on cluttered backgrounds, with their masks.
//!
//! An object's class is its shape with its texture. Its colours are drawn anew each time, so they say nothing about it.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use detcon_core::segment::{SegmentError, SegmentMap};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use self::thing::{CLASSES, SIDE, Thing, ground};
use crate::random::{below, stream, uniform};
use crate::sample::{Origin, Sample, SampleError};
use crate::tfrecord::RecordWriter;

mod files;
mod thing;

pub use self::files::draw_files;

/// Small things behind the objects.
const CLUTTER: usize = 12;
/// As photographs are kept.
const QUALITY: u8 = 92;

/// How many images there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// To train on.
    pub training: u64,
    /// To judge by.
    pub labelled: u64,
}

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// A file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An image could not be encoded.
    #[error(transparent)]
    Encode(#[from] image::ImageError),
    /// A mask could not be made.
    #[error(transparent)]
    Mask(#[from] SegmentError),
    /// A sample could not be stored.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Draws the data set into three folders of shards: `train` with one to three objects an image and their true masks,
/// `shuffled` with the same images, each with the mask of another, and `labelled` with one object an image. The same
/// counts draw the same images.
pub fn draw(folder: &Path, counts: Counts) -> Result<(), ObjectsError> {
    let training = (0..counts.training).into_par_iter().map(|image| {
        let mut random = stream(0, "training objects", &[image]);
        let objects = 1 + below(3, &mut random);
        picture(objects, &mut random)
    });
    let training = training.collect::<Result<Vec<_>, _>>()?;
    let labelled = (0..counts.labelled)
        .into_par_iter()
        .map(|image| picture(1, &mut stream(0, "labelled objects", &[image])));
    let labelled = labelled.collect::<Result<Vec<_>, _>>()?;
    let others = training.iter().cycle().skip(1);
    let shuffled = training.iter().zip(others).map(|(sample, other)| Sample {
        mask: other.mask.clone(),
        ..sample.clone()
    });
    write(&folder.join("shuffled"), shuffled)?;
    write(&folder.join("train"), training.iter().cloned())?;
    write(&folder.join("labelled"), labelled)
}

/// Radii of the objects in an image of so many, in pixels.
const fn radii(objects: usize) -> [f64; 2] {
    if objects == 1 {
        [34.0, 52.0]
    } else {
        [24.0, 40.0]
    }
}

/// An image with the masks of its objects and the class of the first, which lies on top.
fn picture(objects: usize, random: &mut ChaCha8Rng) -> Result<Sample, ObjectsError> {
    let radii = radii(objects);
    let objects: Vec<Thing> = (0..objects).map(|_| Thing::draw(radii, random)).collect();
    let (jpeg, ids) = paint(&objects, random)?;
    Ok(Sample {
        image: jpeg.into(),
        label: objects.first().map(Thing::class),
        mask: SegmentMap::new(SIDE.into(), SIDE.into(), ids)?.compact(),
        further_masks: Vec::new(),
        origin: Origin::default(),
    })
}

/// A JPEG of these objects before clutter, the first on top, and for each pixel the object's number from 1, or 0.
fn paint(objects: &[Thing], random: &mut ChaCha8Rng) -> Result<(Vec<u8>, Vec<u16>), ObjectsError> {
    let clutter: Vec<Thing> = (0..CLUTTER)
        .map(|_| Thing::draw([4.0, 16.0], random))
        .collect();
    let ends = [(); 2].map(|()| [(); 3].map(|()| uniform(random)));
    let (mut pixels, mut ids) = (Vec::new(), Vec::new());
    for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
        let at = [f64::from(column), f64::from(row)];
        let object = (1..)
            .zip(objects)
            .find_map(|(id, thing)| Some((id, thing.at(at)?)));
        let behind = || clutter.iter().find_map(|thing| thing.at(at));
        let color = object.map(|it| it.1).or_else(behind);
        let color = color.unwrap_or_else(|| ground(ends, at));
        let noise = 0.1 * (uniform(random) - 0.5);
        pixels.extend(color.map(|channel| byte(channel + noise)));
        ids.push(object.map_or(0, |it| it.0));
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
        &pixels,
        SIDE.into(),
        SIDE.into(),
        ExtendedColorType::Rgb8,
    )?;
    Ok((jpeg, ids))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 255"
)]
fn byte(channel: f64) -> u8 {
    (channel.clamp(0.0, 1.0) * 255.0) as u8
}

/// One shard.
fn write(folder: &Path, samples: impl IntoIterator<Item = Sample>) -> Result<(), ObjectsError> {
    fs::create_dir_all(folder)?;
    let file = BufWriter::new(File::create(folder.join("train-00000-of-00001"))?);
    let mut records = RecordWriter::new(file);
    for sample in samples {
        records.write(&sample.to_example()?.to_bytes())?;
    }
    let file = records.into_inner().into_inner();
    file.map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}

/// Classes of objects.
pub const OBJECT_CLASSES: u32 = CLASSES;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shards::{OnCorrupt, SampleReader, Split, list};

    #[test]
    fn three_sets_of_the_same_kind_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Counts {
            training: 12,
            labelled: 40,
        };
        draw(folder.path(), counts).unwrap();
        let read = |name: &str| {
            let shards = list(&folder.path().join(name), Split::Train).unwrap();
            let samples = SampleReader::new(shards, OnCorrupt::Fail).map(Result::unwrap);
            samples.collect::<Vec<_>>()
        };
        let (train, shuffled, labelled) = (read("train"), read("shuffled"), read("labelled"));
        assert_eq!((train.len(), shuffled.len(), labelled.len()), (12, 12, 40));
        for place in 0..12 {
            assert_eq!(train[place].image, shuffled[place].image);
            assert_eq!(train[(place + 1) % 12].mask, shuffled[place].mask);
            assert!((2..=4).contains(&train[place].mask.distinct().len()));
        }
        let classes: BTreeSet<u32> = labelled.iter().filter_map(|sample| sample.label).collect();
        assert!(classes.len() > 6 && classes.last() < Some(&OBJECT_CLASSES));
        assert!(labelled.iter().all(|it| it.mask.distinct() == [0, 1]));
    }
}
