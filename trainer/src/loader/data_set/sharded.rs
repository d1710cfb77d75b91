//! The images of a folder's training shards.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use detcon_core::image::{ImageLimits, decode_stored};

use super::Picture;
use crate::loader::LoaderError;
use crate::sample::Sample;
use crate::shards::{self, ShardError, Split};
use crate::tfrecord::{RecordReader, index};

/// Where each sample of the training split lies.
#[derive(Debug)]
pub(super) struct ShardImages {
    shards: Vec<PathBuf>,
    /// Shard and byte of each record.
    records: Vec<(u32, u64)>,
}

impl ShardImages {
    /// Finds every record of the training split, without reading them.
    pub(super) fn open(folder: &Path) -> Result<Self, LoaderError> {
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
        Ok(Self { shards, records })
    }

    pub(super) const fn len(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn picture(&self, image: u64) -> Result<Picture, LoaderError> {
        let sample = self.sample(image)?;
        let pixels = decode_stored(&sample.image, &ImageLimits::default())
            .map_err(|cause| LoaderError::Image { image, cause })?;
        Ok(Picture {
            pixels,
            mask: sample.mask,
            label: sample.label,
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
