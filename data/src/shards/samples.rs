//! The samples of some shards, one after the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::ShardError;
use crate::sample::Sample;
use crate::tfrecord::{Record, RecordReader};

/// What to do about damaged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Stop at the first.
    Fail,
    /// Leave them out and keep a list. A damaged length hides the rest of its shard, which is left out with it.
    Skip,
}

/// Reads samples, shard by shard, a record at a time.
#[derive(Debug)]
pub struct SampleReader {
    shards: VecDeque<PathBuf>,
    current: Option<(PathBuf, RecordReader<BufReader<File>>)>,
    on_corrupt: OnCorrupt,
    skipped: Vec<ShardError>,
}

/// Read from a file at a time.
const BUFFER: usize = 1 << 20;

impl SampleReader {
    /// Reads `shards` in their order.
    pub fn new(shards: impl IntoIterator<Item = PathBuf>, on_corrupt: OnCorrupt) -> Self {
        Self {
            shards: shards.into_iter().collect(),
            current: None,
            on_corrupt,
            skipped: Vec::new(),
        }
    }

    /// What was left out so far: file, byte and reason.
    #[must_use]
    pub fn skipped(&self) -> &[ShardError] {
        &self.skipped
    }

    fn sample(&mut self) -> Result<Option<Sample>, ShardError> {
        loop {
            let Some((path, records)) = &mut self.current else {
                let Some(path) = self.shards.pop_front() else {
                    return Ok(None);
                };
                let file = File::open(&path).map_err(|source| ShardError::Open {
                    path: path.clone(),
                    source,
                })?;
                let records = RecordReader::new(BufReader::with_capacity(BUFFER, file));
                self.current = Some((path, records));
                continue;
            };
            match records.next() {
                None => self.current = None,
                Some(Ok(Record { offset, payload })) => {
                    return Sample::parse(payload)
                        .map(Some)
                        .map_err(|source| ShardError::Sample {
                            path: path.clone(),
                            offset,
                            source,
                        });
                }
                Some(Err(source)) => {
                    let path = path.clone();
                    return Err(ShardError::Record { path, source });
                }
            }
        }
    }
}

impl Iterator for SampleReader {
    type Item = Result<Sample, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let error = match self.sample() {
                Ok(sample) => return sample.map(Ok),
                Err(error) => error,
            };
            match self.on_corrupt {
                OnCorrupt::Skip if error.is_damage() => self.skipped.push(error),
                OnCorrupt::Skip | OnCorrupt::Fail => {
                    self.shards.clear();
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
