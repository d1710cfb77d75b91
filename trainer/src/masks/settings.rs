//! What decides the bytes of a data set, apart from its images. It refuses parameters that the segmentation refuses.

use std::num::NonZeroU16;
use std::path::PathBuf;

use detcon_core::segment::{Felzenszwalb, SegmentError};
use detcon_data::annotations::Annotations;
use serde::Serialize;

/// Parameters of one segmentation, as scikit-image and upstream name them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Segmentation {
    /// Larger values make larger segments.
    pub scale: f64,
    /// Standard deviation of the blur before, in pixels.
    pub sigma: f64,
    /// Smallest segment, in pixels.
    pub min_size: u32,
}

impl Segmentation {
    pub(super) fn method(self) -> Result<Felzenszwalb, SegmentError> {
        Felzenszwalb::new(self.scale, self.sigma, self.min_size)
    }
}

/// What becomes of a mask of more than 256 segments, which one byte a pixel cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The image is left out and listed.
    Error,
    /// The smallest segments are merged with the neighbours that they touch most until 256 are left, and the image is
    /// listed.
    Merge,
}

/// Where masks come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskSource {
    /// Felzenszwalb's segments of the stored pixels.
    Felzenszwalb {
        /// One mask each. Upstream's reader takes shards with one.
        segmentations: Vec<Segmentation>,
    },
    /// Rectangles, the paper's spatial heuristic.
    Grid {
        /// From top to bottom.
        rows: NonZeroU16,
        /// From left to right.
        columns: NonZeroU16,
    },
    /// Objects that people outlined, as COCO writes them.
    Annotations(Annotations),
    /// A label PNG for each image.
    LabelMaps {
        /// Holds `a/b.png` for the image `a/b.jpg`. Not recorded: it may lie elsewhere on another machine.
        #[serde(skip)]
        folder: PathBuf,
    },
}

/// How masks are made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskSettings {
    /// Where they come from.
    pub masks: MaskSource,
    /// What to do about more than 256 segments.
    pub overflow: Overflow,
    /// Shards of the whole data set.
    pub shards: u32,
    /// Seed of the order of images.
    pub seed: u64,
}
