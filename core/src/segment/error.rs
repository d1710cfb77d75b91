//! Why there is no segmentation, in sentences for the person who asked for it.

use super::SegmentMap;
use crate::image::ImageLimits;

/// Why a label map or a segmentation was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Labels that do not fill the dimensions given with them, or no labels at all.
    #[error("{labels} labels do not make a map of {height}x{width} pixels (height x width).")]
    Shape {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
        /// Labels given.
        labels: usize,
    },
    /// More segments than 16 bits tell apart.
    #[error(
        "The image has {segments} segments, and a map holds at most {}. Ask for larger segments.",
        SegmentMap::MAX_SEGMENTS
    )]
    TooManySegments {
        /// How many there are.
        segments: usize,
    },
    /// A parameter outside its range.
    #[error("{name} is {value}, and it must be {range}.")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is accepted, as a phrase.
        range: &'static str,
    },
    /// An image too large for the method's working memory.
    #[error(
        "The image has {pixels} pixels, and this segmentation takes at most {limit}. Scale it down first."
    )]
    TooManyPixels {
        /// Pixels of the image.
        pixels: u64,
        /// Most pixels accepted.
        limit: u64,
    },
    /// More rows, columns or clusters than there are places for them.
    #[error("{parts} {what} were asked for, and there is room for {room}.")]
    TooFine {
        /// What was asked for: rows, columns or clusters.
        what: &'static str,
        /// How many of them.
        parts: u32,
        /// How many fit.
        room: u64,
    },
    /// Values that do not fill the shape of a feature map, or an empty shape.
    #[error("{values} values do not make a feature map of {channels}x{height}x{width}.")]
    Features {
        /// Channels.
        channels: usize,
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
        /// Values given.
        values: usize,
    },
    /// A feature that is NaN or infinite.
    #[error("The feature map holds a value that is no finite number (channel {channel}).")]
    NotFinite {
        /// The first such channel.
        channel: usize,
    },
    /// A clustering that would take too long.
    #[error(
        "Clustering takes {work} multiplications an iteration, and at most {limit} are accepted. Ask for fewer clusters or a coarser stage."
    )]
    TooMuchWork {
        /// Cells × channels × clusters.
        work: u64,
        /// The most accepted.
        limit: u64,
    },
    /// Features of another network than a head's.
    #[error("The features have {found} channels, and the head reads {expected}.")]
    Channels {
        /// Channels of the features.
        found: usize,
        /// Those that the head reads.
        expected: usize,
    },
    /// A head that would take too long.
    #[error(
        "The head takes {work} multiplications for this image, and at most {limit} are accepted. Ask for a smaller size."
    )]
    HeadTooMuchWork {
        /// Cells × weights.
        work: u64,
        /// The most accepted.
        limit: u64,
    },
    /// Bytes that are no readable PNG.
    #[error("The label map is no readable PNG: {detail}.")]
    Png {
        /// What is wrong with it.
        detail: String,
    },
    /// A PNG whose pixels are colours.
    #[error(
        "The label map is a PNG of {found}, and colours are no ids. Send grayscale of at most 16 bits, or a palette."
    )]
    NotLabels {
        /// The kind of its pixels.
        found: &'static str,
    },
    /// A label map above the limits.
    #[error(
        "The label map is {width}x{height} pixels, and at most {} pixels, {} a side, are accepted.",
        limits.pixels, limits.side
    )]
    MapTooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// What was allowed.
        limits: ImageLimits,
    },
}
