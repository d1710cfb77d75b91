//! Why there are no batches.

use detcon_core::image::ImageError;
use detcon_core::regions::RegionError;
use rayon::ThreadPoolBuildError;

use crate::shards::ShardError;

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The shards cannot be read.
    #[error("{0} (detcon-train masks makes shards of images)")]
    Shards(ShardError),
    /// The shards hold nothing.
    #[error("the shards hold no record")]
    Empty,
    /// More records than are counted.
    #[error("the shards hold more than 2^32 records")]
    TooMany,
    /// An image cannot be decoded.
    #[error("image {image}: {cause}")]
    Image {
        /// Its place in the data set.
        image: u64,
        /// What the decoder said.
        cause: ImageError,
    },
    /// A mask is not of its image's size, or moves wrongly.
    #[error("image {image}: {cause}")]
    Mask {
        /// Its place in the data set.
        image: u64,
        /// What is wrong.
        cause: RegionError,
    },
    /// Too many records are damaged.
    #[error("{damaged} of {images} records are damaged, more than 1 in 100; the last: {last}")]
    Damaged {
        /// So many were found.
        damaged: usize,
        /// Of so many.
        images: u64,
        /// What was wrong with the last.
        last: Box<LoaderError>,
    },
    /// No threads.
    #[error("the loader's threads do not start: {0}")]
    Threads(#[from] ThreadPoolBuildError),
}
