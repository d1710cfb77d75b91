//! The files of a data set, and the samples in them.
//!
//! A split is cut into files `train-00000-of-02048`, `train-00001-of-02048` … It refuses a data set with files missing,
//! or cut in two ways at once.

mod samples;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sample::SampleError;
use crate::tfrecord::RecordError;

pub use self::samples::{OnCorrupt, SampleReader};

/// What a part of a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Images to train on.
    Train,
    /// Images to evaluate on.
    Validation,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 2] = [Self::Train, Self::Validation];

    /// The name that files start with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }

    /// The number of shards that upstream's reader expects.
    #[must_use]
    pub const fn upstream_shards(self) -> u32 {
        match self {
            Self::Train => 2048,
            Self::Validation => 256,
        }
    }
}

/// The name of a shard: `train-00000-of-02048`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardName {
    /// The split.
    pub split: Split,
    /// Which shard, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl std::fmt::Display for ShardName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let split = self.split.name();
        write!(f, "{split}-{:05}-of-{:05}", self.index, self.count)
    }
}

/// A name that is no shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAShard;

impl FromStr for ShardName {
    type Err = NotAShard;

    fn from_str(name: &str) -> Result<Self, NotAShard> {
        let mut parts = name.split('-');
        let mut next = || parts.next().ok_or(NotAShard);
        let (split, index, of, count) = (next()?, next()?, next()?, next()?);
        let split = Split::ALL.into_iter().find(|known| known.name() == split);
        let shard = Self {
            split: split.ok_or(NotAShard)?,
            index: index.parse().map_err(|_| NotAShard)?,
            count: count.parse().map_err(|_| NotAShard)?,
        };
        let canonical = of == "of" && shard.index < shard.count && shard.to_string() == name;
        canonical.then_some(shard).ok_or(NotAShard)
    }
}

/// Why a data set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A folder or file could not be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No shard of the split.
    #[error("{} holds no shards of the {} split", directory.display(), split.name())]
    None {
        /// The folder.
        directory: PathBuf,
        /// The split.
        split: Split,
    },
    /// A shard of the split under a name that ends in `.gz`.
    #[error("{} is compressed with gzip, and shards are read as they are: unpack it (gunzip)", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
    },
    /// One of the shards is not there.
    #[error("{} lacks {missing}", directory.display())]
    Missing {
        /// The folder.
        directory: PathBuf,
        /// The first shard that is not there.
        missing: ShardName,
    },
    /// Shards of two data sets.
    #[error("{} holds both {one} and {other}", directory.display())]
    Mixed {
        /// The folder.
        directory: PathBuf,
        /// A shard.
        one: ShardName,
        /// A shard of another count.
        other: ShardName,
    },
    /// A record could not be read.
    #[error("{}: {source}", path.display())]
    Record {
        /// The shard.
        path: PathBuf,
        /// What is wrong, and at which byte.
        source: RecordError,
    },
    /// A record is no sample.
    #[error("{}: the record at byte {offset} is no sample: {source}", path.display())]
    Sample {
        /// The shard.
        path: PathBuf,
        /// Start of the record in the file, in bytes.
        offset: u64,
        /// What is wrong.
        source: SampleError,
    },
}

impl ShardError {
    /// Whether the data are at fault: a record is damaged or no sample.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Record { source, .. } => !matches!(source, RecordError::Io { .. }),
            Self::Sample { .. } => true,
            Self::Open { .. }
            | Self::None { .. }
            | Self::Gzip { .. }
            | Self::Missing { .. }
            | Self::Mixed { .. } => false,
        }
    }
}

/// The shards of a split in a folder, in order; every one of them.
pub fn list(directory: &Path, split: Split) -> Result<Vec<PathBuf>, ShardError> {
    let mut names = found(directory, split)?;
    names.sort_by_key(|name| (name.count, name.index));
    let (Some(&first), Some(&last)) = (names.first(), names.last()) else {
        let directory = directory.to_owned();
        return Err(ShardError::None { directory, split });
    };
    if first.count != last.count {
        return Err(ShardError::Mixed {
            directory: directory.to_owned(),
            one: first,
            other: last,
        });
    }
    let expected = (0..first.count).map(|index| ShardName { index, ..first });
    for (place, name) in expected.enumerate() {
        if names.get(place) != Some(&name) {
            return Err(ShardError::Missing {
                directory: directory.to_owned(),
                missing: name,
            });
        }
    }
    let path = |name: &ShardName| directory.join(name.to_string());
    Ok(names.iter().map(path).collect())
}

fn found(directory: &Path, split: Split) -> Result<Vec<ShardName>, ShardError> {
    let open = |source| ShardError::Open {
        path: directory.to_owned(),
        source,
    };
    let (mut names, mut compressed) = (Vec::new(), None);
    for entry in fs::read_dir(directory).map_err(open)? {
        let name = entry.map_err(open)?.file_name();
        let name = name.to_str().unwrap_or_default();
        let shard = |name: &str| name.parse::<ShardName>().ok();
        names.extend(shard(name).filter(|name| name.split == split));
        let packed = name.strip_suffix(".gz").and_then(shard);
        if packed.is_some_and(|name| name.split == split) {
            compressed.get_or_insert_with(|| directory.join(name));
        }
    }
    match compressed {
        Some(path) if names.is_empty() => Err(ShardError::Gzip { path }),
        Some(_) | None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        folder
    }

    #[test]
    fn names_are_upstreams() {
        let name = "validation-00003-of-00256".parse::<ShardName>().unwrap();
        assert_eq!(
            (name.split, name.index, name.count),
            (Split::Validation, 3, 256)
        );
        for other in [
            "train-3-of-00256",
            "test-00000-of-00001",
            "train-00002-of-00002",
            "train",
        ] {
            assert_eq!(other.parse::<ShardName>(), Err(NotAShard), "{other}");
        }
    }

    #[test]
    fn a_data_set_is_whole_or_an_error() {
        let whole = folder(&[
            "train-00001-of-00002",
            "train-00000-of-00002",
            "validation-00000-of-00001",
            "notes",
        ]);
        let paths = list(whole.path(), Split::Train).unwrap();
        assert!(paths[0].ends_with("train-00000-of-00002") && paths.len() == 2);
        let part = folder(&["train-00000-of-00003", "train-00002-of-00003"]);
        let refusal = list(part.path(), Split::Train).unwrap_err();
        assert!(matches!(refusal, ShardError::Missing { missing, .. } if missing.index == 1));
        let mixed = folder(&["train-00000-of-00001", "train-00000-of-00002"]);
        let refusal = list(mixed.path(), Split::Train).unwrap_err();
        assert!(matches!(refusal, ShardError::Mixed { .. }));
        let packed = folder(&["train-00000-of-00001.gz"]);
        let refusal = list(packed.path(), Split::Train).unwrap_err();
        assert!(matches!(refusal, ShardError::Gzip { .. }));
        let refusal = list(mixed.path(), Split::Validation).unwrap_err();
        assert!(matches!(refusal, ShardError::None { .. }));
    }
}
