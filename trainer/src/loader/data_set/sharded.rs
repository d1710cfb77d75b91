//! The images of a folder's training shards.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::image::{ImageLimits, RgbImage, decode_stored};
use detcon_core::segment::SegmentMap;

use super::{ImageMask, Picture};
use crate::loader::LoaderError;
use detcon_data::sample::Sample;
use detcon_data::shards::{self, ShardError, Split};
use detcon_data::tfrecord::{RecordReader, index};

/// Where each sample of the training split lies.
#[derive(Debug)]
pub(super) struct ShardImages {
    shards: Vec<PathBuf>,
    /// Shard and byte of each record.
    records: Vec<(u32, u64)>,
    /// Which of the masks that are stored with an image, from 0.
    stored_mask: usize,
}

impl ShardImages {
    /// Finds every record of the training split, without reading them. Of several masks the one of this number is
    /// taken.
    pub(super) fn open(folder: &Path, stored_mask: usize) -> Result<Self, LoaderError> {
        let shards = shards::list(folder, Split::Train).map_err(LoaderError::Shards)?;
        let mut records = Vec::new();
        for (number, path) in (0..).zip(&shards) {
            let failed = |source| {
                LoaderError::Shards(ShardError::Record {
                    path: path.clone(),
                    source,
                })
            };
            let offsets = index(&mut open(path)?).map_err(failed)?;
            records.extend(offsets.into_iter().map(|offset| (number, offset)));
        }
        Ok(Self {
            shards,
            records,
            stored_mask,
        })
    }

    pub(super) const fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// SHA-256 of the shards' names and of where each record begins.
    pub(super) fn digest(&self) -> String {
        let mut all = Vec::new();
        for path in &self.shards {
            all.extend(path.file_name().unwrap_or_default().as_encoded_bytes());
            all.push(0);
        }
        for (shard, offset) in &self.records {
            all.extend(shard.to_le_bytes());
            all.extend(offset.to_le_bytes());
        }
        sha256(&all)
    }

    pub(super) fn picture(&self, image: u64) -> Result<Picture, LoaderError> {
        let sample = self.sample(image)?;
        let pixels = decode_stored(&sample.image, &ImageLimits::default())
            .map_err(|cause| LoaderError::Image { image, cause })?;
        let label = sample.label;
        Ok(Picture {
            pixels,
            mask: ImageMask::Flat(self.chosen(image, sample)?),
            label,
        })
    }

    /// The pixels of an image and its class.
    pub(super) fn labelled(&self, image: u64) -> Result<(RgbImage, Option<u32>), LoaderError> {
        let sample = self.sample(image)?;
        let pixels = decode_stored(&sample.image, &ImageLimits::default())
            .map_err(|cause| LoaderError::Image { image, cause })?;
        Ok((pixels, sample.label))
    }

    /// Of the masks that are stored with an image the one that was asked for.
    fn chosen(&self, image: u64, sample: Sample) -> Result<SegmentMap, LoaderError> {
        let stored = 1 + sample.further_masks.len();
        let mut masks = std::iter::once(sample.mask).chain(sample.further_masks);
        let chosen = masks.nth(self.stored_mask);
        chosen.ok_or(LoaderError::StoredMask {
            image,
            asked: self.stored_mask,
            stored,
        })
    }

    fn sample(&self, image: u64) -> Result<Sample, LoaderError> {
        let place = usize::try_from(image)
            .ok()
            .and_then(|image| self.records.get(image));
        let &(shard, offset) = place.ok_or(LoaderError::Empty)?;
        let path = &self.shards[shard as usize];
        let mut file = open(path)?;
        let failed = |source| {
            LoaderError::Shards(ShardError::Open {
                path: path.clone(),
                source,
            })
        };
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut records = RecordReader::new(BufReader::new(file)).starting_at(offset);
        let record = records.next().ok_or(LoaderError::Empty)?;
        let record = record.map_err(|source| {
            LoaderError::Shards(ShardError::Record {
                path: path.clone(),
                source,
            })
        })?;
        Sample::parse(record.payload).map_err(|source| {
            LoaderError::Shards(ShardError::Sample {
                path: path.clone(),
                offset,
                source,
            })
        })
    }
}

fn open(path: &Path) -> Result<File, LoaderError> {
    let failed = |source| {
        LoaderError::Shards(ShardError::Open {
            path: path.to_owned(),
            source,
        })
    };
    File::open(path).map_err(failed)
}
