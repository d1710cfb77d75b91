//! Why there are no batches.

use std::io;
use std::path::PathBuf;

use detcon_core::image::ImageError;
use detcon_core::regions::RegionError;
use rayon::ThreadPoolBuildError;

use crate::masks::MasksError;
use detcon_data::shards::ShardError;

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The shards cannot be read.
    #[error("{0} (detcon-train masks makes shards of images)")]
    Shards(ShardError),
    /// The images, or what their masks are made of, cannot be found.
    #[error(transparent)]
    Images(#[from] MasksError),
    /// There is nothing.
    #[error("the data set holds no image")]
    Empty,
    /// More images than are counted.
    #[error("the data set holds more than 2^32 images")]
    TooMany,
    /// An image's file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file, within the data set.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// An image's file cannot be decoded.
    #[error("{}: {cause}", path.display())]
    Picture {
        /// The file, within the data set.
        path: PathBuf,
        /// What the decoder said.
        cause: ImageError,
    },
    /// An image has no mask.
    #[error("{} has no mask: {reason}", path.display())]
    NoMask {
        /// The image's file, within the data set.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A mask cannot be kept, or one that was cannot be read.
    #[error("{}: {cause}: give another --mask-cache, or make room", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
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
    /// Shards that store fewer masks for an image.
    #[error(
        "image {image} has {stored} masks, and --set masks.stored={asked} asks for another: give {} or less",
        stored - 1
    )]
    StoredMask {
        /// Its place in the data set.
        image: u64,
        /// The mask that was asked for, from 0.
        asked: usize,
        /// Masks that it has, at least one.
        stored: usize,
    },
    /// A class that the classifier does not have.
    #[error("image {image} is of class {label} (counted from 0): give --set heads.classes={} or more", label + 1)]
    Label {
        /// Its place in the data set.
        image: u64,
        /// Its class.
        label: u32,
    },
    /// Too many records are damaged.
    #[error("{damaged} of {images} images cannot be used, more than 1 in 100; the last: {last}")]
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

/// What is at fault where a picture cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// One image, in whose place others may be taken.
    Image,
    /// The disk or the network, which may come back.
    Reading,
    /// The run as it was started.
    Run,
}

impl LoaderError {
    pub(super) const fn blame(&self) -> Blame {
        match self {
            Self::Shards(error) if error.is_damage() => Blame::Image,
            Self::Image { .. } | Self::Mask { .. } | Self::Picture { .. } | Self::NoMask { .. } => {
                Blame::Image
            }
            Self::Shards(_) | Self::Read { .. } | Self::Cache { .. } => Blame::Reading,
            Self::Images(_)
            | Self::Empty
            | Self::TooMany
            | Self::StoredMask { .. }
            | Self::Label { .. }
            | Self::Damaged { .. }
            | Self::Threads(_) => Blame::Run,
        }
    }
}
