//! Why no head was trained. The model directory is as it was.

use std::io;
use std::path::PathBuf;

use detcon_core::image::ImageError;
use detcon_core::model::{ModelName, UpdateError};
use detcon_core::preprocess::PreprocessError;
use detcon_core::segment::{HeadError, SegmentError};

use crate::frozen::FrozenError;

/// Why no head was trained. The model directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum FinetuneError {
    /// The classes cannot be used.
    #[error("the classes: {0}")]
    Classes(String),
    /// A setting makes no sense.
    #[error("{name}: {detail}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] FrozenError),
    /// The model has such a head.
    #[error("the model has a head {head} already: give another name, or --replace to replace it")]
    Exists {
        /// The head.
        head: ModelName,
    },
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No image at all.
    #[error("{} holds no image", folder.display())]
    NoImages {
        /// The folder.
        folder: PathBuf,
    },
    /// An image without a label.
    #[error(
        "{images} of the images in {} have no label, the first {}: it should be {}; --skip-unlabelled leaves them out",
        folder.display(),
        first.display(),
        expected.display()
    )]
    Unlabelled {
        /// How many.
        images: usize,
        /// The images' folder.
        folder: PathBuf,
        /// The first of them.
        first: PathBuf,
        /// Where its label should be.
        expected: PathBuf,
    },
    /// Two images that one label would be of.
    #[error("{} and {} would have the same label: give images names of their own", first.display(), second.display())]
    Ambiguous {
        /// One image.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An image cannot be decoded.
    #[error("{}: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: ImageError,
    },
    /// A label is no label map.
    #[error("{}: {source}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SegmentError,
    },
    /// A label is of another size than its image.
    #[error(
        "{} is {found_width}x{found_height} pixels and its image {width}x{height}: a label has its image's size",
        path.display()
    )]
    Size {
        /// The label.
        path: PathBuf,
        /// Rows of the label.
        found_height: u32,
        /// Pixels in a row of it.
        found_width: u32,
        /// Rows of the image.
        height: u32,
        /// Pixels in a row of it.
        width: u32,
    },
    /// A label holds an id that is no class.
    #[error(
        "{} holds the id {id} at row {row}, column {column}: there are {classes} classes, from 0, and --ignore-label is {ignored}",
        path.display()
    )]
    Id {
        /// The label.
        path: PathBuf,
        /// The id.
        id: u16,
        /// Its place.
        row: usize,
        /// Its place in the row.
        column: usize,
        /// How many classes there are.
        classes: usize,
        /// The id that counts for nothing.
        ignored: u16,
    },
    /// Nothing to train on or to measure with.
    #[error(
        "{images} images cannot be divided into some to train on and some to measure with: give more, or others with --validation-images"
    )]
    TooFew {
        /// How many there are.
        images: usize,
    },
    /// No pixel of a class.
    #[error("no pixel of the {what} has a class: all are {ignored}, the --ignore-label")]
    NothingLabelled {
        /// Which images.
        what: &'static str,
        /// The id that counts for nothing.
        ignored: u16,
    },
    /// The loss is no number.
    #[error("the loss is {loss} in epoch {epoch}: give a lower --lr")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The loss.
        loss: f64,
    },
    /// No view of this size.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The head that was trained cannot be used.
    #[error("the head that was trained cannot be used: {0}")]
    Head(#[from] HeadError),
    /// A picture is too large to be segmented.
    #[error("an image cannot be segmented: {0}")]
    Segment(#[from] SegmentError),
    /// The head could not be added to the model.
    #[error(transparent)]
    Update(#[from] UpdateError),
}
