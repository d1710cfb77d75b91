//! A data set to learn from, drawn: shapes with a pattern before a busy ground, with their masks.
//!
//! An object's class is its pattern and how coarse that is. Its shape, its place, its turn and its grey levels are drawn
//! anew each time and say nothing about it; nor does the ground, which is what tells images apart most easily.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use detcon_core::segment::{SegmentError, SegmentMap};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use self::picture::Picture;
use self::thing::CLASSES;
use crate::random::stream;
use detcon_data::sample::{Origin, Sample, SampleError};
use detcon_data::tfrecord::RecordWriter;

mod files;
mod ground;
mod picture;
mod thing;

pub use self::files::draw_files;

/// Pixels of an image's side.
const SIDE: u16 = 128;

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

/// Draws the data set into three folders of shards: `train` with two or three objects an image and their true masks,
/// `shuffled` with the same images, each with the mask of another, and `labelled` with one object an image, before a
/// ground without waves. The same counts draw the same images.
pub fn draw(folder: &Path, counts: Counts) -> Result<(), ObjectsError> {
    let training = (0..counts.training).into_par_iter().map(|image| {
        let mut random = stream(0, "training objects", &[image]);
        sample(&Picture::scene(&mut random), &mut random)
    });
    let training = training.collect::<Result<Vec<_>, _>>()?;
    let labelled = (0..counts.labelled).into_par_iter().map(|image| {
        let mut random = stream(0, "labelled objects", &[image]);
        sample(&Picture::portrait(&mut random), &mut random)
    });
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

/// An image with the masks of its objects and the class of the first, which lies on top.
fn sample(picture: &Picture, random: &mut ChaCha8Rng) -> Result<Sample, ObjectsError> {
    let (jpeg, ids) = picture.paint(random)?;
    Ok(Sample {
        image: jpeg.into(),
        label: picture.classes().first().copied(),
        mask: SegmentMap::new(SIDE.into(), SIDE.into(), ids)?.compact(),
        further_masks: Vec::new(),
        origin: Origin::default(),
    })
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
    use detcon_data::shards::{OnCorrupt, SampleReader, Split, list};

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
