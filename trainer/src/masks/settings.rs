//! What decides the bytes of a data set, apart from its images. It refuses parameters that the segmentation refuses.

use detcon_core::segment::{Felzenszwalb, SegmentError};
use serde::{Deserialize, Serialize};

use super::MasksError;

/// Parameters of one segmentation, as scikit-image and upstream name them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The image is left out and listed.
    Error,
    /// The smallest segments are merged with the neighbours that they touch most until 256 are left, and the image is
    /// listed.
    Merge,
}

/// How masks are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskSettings {
    /// One mask each. Upstream's reader takes shards with one.
    pub segmentations: Vec<Segmentation>,
    /// What to do about more than 256 segments.
    pub overflow: Overflow,
    /// Shards of the whole data set.
    pub shards: u32,
    /// Seed of the order of images.
    pub seed: u64,
}

impl MaskSettings {
    /// The methods that the parameters describe.
    pub(super) fn methods(&self) -> Result<Vec<Felzenszwalb>, MasksError> {
        if self.segmentations.is_empty() {
            return Err(MasksError::Uneven {
                scales: 0,
                min_sizes: 0,
            });
        }
        let methods = self.segmentations.iter().map(|one| Ok(one.method()?));
        methods.collect()
    }
}
