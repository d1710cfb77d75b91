//! The samples of a folder's training shards, each at a place of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::LoaderError;
use crate::sample::Sample;
use crate::shards::{self, ShardError, Split};
use crate::tfrecord::{RecordReader, index};

/// One in so many records may be damaged.
const TOLERATED: u64 = 100;

/// Where each sample of the training split lies.
#[derive(Debug)]
pub struct DataSet {
    shards: Vec<PathBuf>,
    /// Shard and byte of each record.
    records: Vec<(u32, u64)>,
    damaged: Mutex<BTreeMap<u64, String>>,
}

impl DataSet {
    /// Finds every record of the training split, without reading them.
    pub fn open(folder: &Path) -> Result<Self, LoaderError> {
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
        if records.is_empty() {
            return Err(LoaderError::Empty);
        }
        if u32::try_from(records.len()).is_err() {
            return Err(LoaderError::TooMany);
        }
        Ok(Self {
            shards,
            records,
            damaged: Mutex::default(),
        })
    }

    /// Images in it, at least one.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// Never: a data set without images is refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The damaged images that were met so far, and what is wrong with them.
    #[must_use]
    pub fn damaged(&self) -> BTreeMap<u64, String> {
        self.damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What `make` makes of an image, or of the next one where that is damaged.
    pub(super) fn nearest_intact<T>(
        &self,
        image: u64,
        make: impl Fn(u64, &Sample) -> Result<T, LoaderError>,
    ) -> Result<T, LoaderError> {
        let mut place = image;
        loop {
            let error = match self.sample(place).and_then(|sample| make(place, &sample)) {
                Ok(intact) => return Ok(intact),
                Err(error) => error,
            };
            let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.insert(place, error.to_string());
            if damaged.len() as u64 > self.len() / TOLERATED {
                return Err(LoaderError::Damaged {
                    damaged: damaged.len(),
                    images: self.len(),
                    last: Box::new(error),
                });
            }
            place = (place + 1) % self.len();
        }
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
