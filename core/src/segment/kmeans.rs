//! Segments from a network's own features: k-means over the cells of a feature map, and the clusters at any size.
//!
//! Cells are compared by direction: each feature vector is brought to unit length first, since the length of deep
//! features says how strong they are, not what they show. It is deterministic: the same features, `k` and seed give
//! the same segments everywhere. It refuses more clusters than cells, values that are no finite numbers, and maps so
//! large that an iteration would take seconds.

mod clusters;
mod lloyd;

pub use self::clusters::Clusters;
use self::lloyd::Points;
use super::{FeatureMap, SegmentError};

/// The method: k-means++ seeding (Arthur and Vassilvitskii, 2007), then Lloyd's iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeans {
    k: u32,
    seed: u64,
}

impl KMeans {
    /// Most clusters.
    pub const MAX_CLUSTERS: u32 = 256;

    /// Most multiplications in an iteration, cells × channels × clusters.
    pub const MAX_WORK: u64 = 1 << 28;

    /// `k` clusters, from 1 to [`Self::MAX_CLUSTERS`]; `seed` chooses where they start.
    pub fn new(k: u32, seed: u64) -> Result<Self, SegmentError> {
        if !(1..=Self::MAX_CLUSTERS).contains(&k) {
            return Err(SegmentError::Parameter {
                name: "k",
                value: k.into(),
                range: "from 1 to 256",
            });
        }
        Ok(Self { k, seed })
    }

    /// Clusters the cells of a feature map, until none changes or 100 iterations have passed. There may be fewer
    /// than `k` clusters where cells are alike.
    pub fn cluster(&self, features: FeatureMap<'_>) -> Result<Clusters, SegmentError> {
        let (cells, k) = (features.cells() as u64, u64::from(self.k));
        if k > cells {
            return Err(SegmentError::TooFine {
                what: "clusters",
                parts: self.k,
                room: cells,
            });
        }
        let work = (features.channels() as u64)
            .saturating_mul(cells)
            .saturating_mul(k);
        if work > Self::MAX_WORK {
            let limit = Self::MAX_WORK;
            return Err(SegmentError::TooMuchWork { work, limit });
        }
        let points = Points::new(features)?;
        let means = lloyd::means(&points, self.k as usize, self.seed);
        let size = (features.height(), features.width());
        Clusters::new(size, &points, &means)
    }
}
