//! Why a run could not be done. What is wrong with one image is no such reason: it goes into the summary.

use std::io;
use std::path::PathBuf;

use detcon_core::segment::SegmentError;
use detcon_data::annotations::AnnotationsError;

use detcon_data::shards::ShardError;

/// Why masks could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MasksError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a text file is not what it should be.
    #[error("{}, line {line}: {detail}", path.display())]
    Line {
        /// The text file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// A folder of images that the layout does not expect.
    #[error("{}: {detail}", path.display())]
    Layout {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing to do.
    #[error("{} holds no images in this layout", path.display())]
    NoImages {
        /// The input.
        path: PathBuf,
    },
    /// Parameters of the segmentation out of range.
    #[error(transparent)]
    Segmentation(#[from] SegmentError),
    /// A file of annotations that cannot be used.
    #[error(transparent)]
    Annotations(#[from] AnnotationsError),
    /// As many segment sizes as scales are needed, and at least one.
    #[error("{scales} scales and {min_sizes} smallest sizes were given: give as many of each")]
    Uneven {
        /// Scales given.
        scales: usize,
        /// Smallest sizes given.
        min_sizes: usize,
    },
    /// The output was begun with other settings or other images.
    #[error(
        "{} was begun with other settings ({differences}): give another --output, or remove what is there",
        path.display()
    )]
    OtherSettings {
        /// The manifest of the earlier run.
        path: PathBuf,
        /// What differs, then and now.
        differences: String,
    },
    /// A journal that this program did not write.
    #[error("{} is no record of a run: {source}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The output holds a shard of the same name from elsewhere.
    #[error(
        "{} is there, and no run of this program made it: give another --output",
        path.display()
    )]
    Foreign {
        /// The shard.
        path: PathBuf,
    },
    /// Another process is writing the shard.
    #[error(
        "another process is writing {}: start parts that differ (--shard i/n), or wait",
        path.display()
    )]
    Busy {
        /// The shard.
        path: PathBuf,
    },
    /// The shards just written could not be read for the preview.
    #[error("the preview could not be made: {0}")]
    Preview(#[from] ShardError),
}

impl MasksError {
    /// An [`Self::Io`] of `path`, to hand to `map_err`.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
