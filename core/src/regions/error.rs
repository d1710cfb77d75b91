//! Why regions were refused, in sentences for the person who sent them.

use super::polygon::COORDINATE_LIMIT;
use crate::preprocess::Window;
use crate::segment::SegmentError;

/// Why a mask, a box, a polygon or a set of them was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// A mask without pixels, or with more than 32 bits count.
    #[error("A mask cannot be {height}x{width} pixels (height x width).")]
    MaskSize {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
    },
    /// Run lengths that do not cover the mask exactly.
    #[error(
        "The run lengths add up to {sum} pixels or more, and a {height}x{width} mask has {expected}."
    )]
    RunSum {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
        /// What the mask needs.
        expected: u64,
        /// What they add up to, or where that first exceeds the mask.
        sum: u64,
    },
    /// Compressed run lengths that are no such text.
    #[error("The compressed run lengths are damaged at character {offset}: {detail}.")]
    RunText {
        /// The character, from 0.
        offset: usize,
        /// What is wrong there.
        detail: &'static str,
    },
    /// Pixels that do not fill the mask.
    #[error("{pixels} pixels do not make a {height}x{width} mask.")]
    MaskPixels {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
        /// Pixels given.
        pixels: usize,
    },
    /// A mask, a map or an image of another size than the first.
    #[error(
        "{what} is {actual_height}x{actual_width} pixels (height x width), and {height}x{width} are needed."
    )]
    SizeMismatch {
        /// What has the wrong size.
        what: &'static str,
        /// Rows needed.
        height: u32,
        /// Columns needed.
        width: u32,
        /// Its rows.
        actual_height: u32,
        /// Its columns.
        actual_width: u32,
    },
    /// A polygon with half a point, or fewer than three points.
    #[error("A polygon has {coordinates} coordinates; it needs x and y of at least 3 points.")]
    PolygonPoints {
        /// Numbers given.
        coordinates: usize,
    },
    /// A coordinate that is no number, or is beyond all images.
    #[error(
        "The coordinate {value} is not within {COORDINATE_LIMIT} pixels of the image's corner."
    )]
    Coordinate {
        /// What was given.
        value: f64,
    },
    /// Outlines so long that drawing them would take seconds.
    #[error("The polygons' outlines are longer than {limit} pixels together.")]
    PolygonLength {
        /// The longest total.
        limit: u64,
    },
    /// A box without width or height.
    #[error("A box is {width}x{height} pixels (width x height), and both must be above 0.")]
    EmptyBox {
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
    /// A box that touches no pixel of the image.
    #[error("The box [{x}, {y}, {width}, {height}] covers no pixel of the image.")]
    BoxOutside {
        /// Left edge.
        x: f64,
        /// Upper edge.
        y: f64,
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
    /// More regions than ids.
    #[error("{regions} regions were given, and at most {limit} are accepted.")]
    TooManyRegions {
        /// How many.
        regions: usize,
        /// Most accepted.
        limit: usize,
    },
    /// No region at all.
    #[error("There is no region. Give at least one.")]
    NoRegions,
    /// A window that is empty or leaves the image.
    #[error("The window {window:?} is no part of a {height}x{width} image.")]
    Window {
        /// The window.
        window: Window,
        /// Rows of the image.
        height: u32,
        /// Columns of the image.
        width: u32,
    },
    /// A network input without pixels, or beyond reason.
    #[error("A network's input cannot be {height}x{width} pixels.")]
    InputSize {
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
    /// A label map that cannot be.
    #[error(transparent)]
    Segments(#[from] SegmentError),
}
