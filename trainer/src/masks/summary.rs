//! What became of the images: of one shard, as its journal keeps it, and of a run.

use std::path::PathBuf;

use detcon_data::share::Share;
use serde::{Deserialize, Serialize};

use super::work::{Finished, ImageFailure};
use detcon_data::shards::Split;

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its file, relative to the input.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// An image whose segments were merged to fit one byte a pixel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Its file, relative to the input.
    pub path: PathBuf,
    /// How many segments it had.
    pub segments: usize,
}

/// An image that was stored as another JPEG than its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reencoded {
    /// Its file, relative to the input.
    pub path: PathBuf,
    /// What the file is.
    pub was: String,
}

/// The number of segments in the (first) mask of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segments {
    /// Fewest.
    pub least: usize,
    /// Most.
    pub most: usize,
    /// Of all images together.
    pub total: usize,
}

/// The journal of one shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardReport {
    /// Length of the shard in bytes.
    pub(super) bytes: u64,
    images: usize,
    segments: Segments,
    failures: Vec<Failure>,
    merged: Vec<Merged>,
    reencoded: Vec<Reencoded>,
}

impl ShardReport {
    pub(super) fn add_failure(&mut self, path: PathBuf, failure: &ImageFailure) {
        let reason = failure.to_string();
        self.failures.push(Failure { path, reason });
    }

    pub(super) fn add_image(&mut self, path: PathBuf, image: &Finished) {
        self.segments.add(Segments {
            least: image.segments,
            most: image.segments,
            total: image.segments,
        });
        self.images += 1;
        if let Some(segments) = image.merged_from {
            let path = path.clone();
            self.merged.push(Merged { path, segments });
        }
        if let Some(was) = image.reencoded_from {
            let was = was.to_owned();
            self.reencoded.push(Reencoded { path, was });
        }
    }
}

impl Segments {
    /// Takes the segments of further images, of one at least, in.
    fn add(&mut self, other: Self) {
        self.least = match self.total {
            0 => other.least,
            _ => self.least.min(other.least),
        };
        self.most = self.most.max(other.most);
        self.total += other.total;
    }
}

/// Shards of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shards {
    /// Of the whole data set.
    pub of: u32,
    /// Found whole from an earlier run.
    pub kept: usize,
    /// Written by this run.
    pub written: usize,
}

/// Images of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Images {
    /// In the shards, kept and written.
    pub stored: usize,
    /// Left out: those that are listed as failures.
    pub failed: usize,
}

/// What became of the images of a part of the data set, those of kept shards with them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The split.
    pub split: Split,
    /// The part of the data set that this run is for.
    pub part: Share,
    /// Its shards.
    pub shards: Shards,
    /// Its images.
    pub images: Images,
    /// Segments in the first mask of each image.
    pub segments: Segments,
    /// Duration of this run.
    pub seconds: f64,
    /// Images that this run worked on, in each second.
    pub images_per_second: f64,
    /// Images that were left out.
    pub failures: Vec<Failure>,
    /// Images whose segments were merged.
    pub merged: Vec<Merged>,
    /// Images that were re-encoded as RGB JPEG.
    pub reencoded: Vec<Reencoded>,
}

impl Summary {
    /// Of no shards yet.
    pub(super) fn new(split: Split, part: Share, shards: Shards) -> Self {
        Self {
            split,
            part,
            shards,
            images: Images::default(),
            segments: Segments::default(),
            seconds: 0.0,
            images_per_second: 0.0,
            failures: Vec::new(),
            merged: Vec::new(),
            reencoded: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, shard: ShardReport) {
        self.images.stored += shard.images;
        self.images.failed += shard.failures.len();
        if shard.images > 0 {
            self.segments.add(shard.segments);
        }
        self.failures.extend(shard.failures);
        self.merged.extend(shard.merged);
        self.reencoded.extend(shard.reencoded);
    }
}
