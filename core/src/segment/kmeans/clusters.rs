//! The clusters of a feature map, on its own grid and at any size.

use super::lloyd::{Mean, Points};
use crate::segment::scores::Scores;
use crate::segment::{SegmentError, SegmentMap};

/// The clusters of a feature map, numbered in the order of their first cells.
#[derive(Clone, Debug)]
pub struct Clusters {
    segments: SegmentMap,
    /// How far each cell is from each cluster; smaller is nearer.
    scores: Scores,
    count: usize,
}

impl Clusters {
    pub(super) fn new(
        (height, width): (u32, u32),
        points: &Points,
        means: &[Mean],
    ) -> Result<Self, SegmentError> {
        let all = points
            .iter()
            .flat_map(|point| means.iter().map(|mean| mean.score(point)));
        let all: Vec<f32> = all.collect();
        let mut order: Vec<usize> = Vec::new();
        for scores in all.chunks_exact(means.len()) {
            let nearest = smallest(scores);
            if !order.contains(&nearest) {
                order.push(nearest);
            }
        }
        let rows = all.chunks_exact(means.len());
        let scores: Vec<f32> = rows
            .flat_map(|row| order.iter().map(|&mean| row[mean]))
            .collect();
        let count = order.len();
        let ids = scores.chunks_exact(count).map(id_of_smallest);
        Ok(Self {
            segments: SegmentMap::new(height, width, ids.collect())?,
            scores: Scores::new([height, width], count, scores),
            count,
        })
    }

    /// The cluster of each cell.
    #[must_use]
    pub const fn segments(&self) -> &SegmentMap {
        &self.segments
    }

    /// How many clusters have cells.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The clusters at another size, such as the image's: each pixel takes the cluster nearest to the features
    /// between which it lies, interpolated bilinearly with half-pixel centres. Borders are smooth that way, where
    /// repeating cells would leave blocks. (Distances are interpolated, not features: for a choice between clusters
    /// it is the same, since what they differ by is linear.)
    pub fn upsample(&self, height: u32, width: u32) -> Result<SegmentMap, SegmentError> {
        self.scores.upsample(height, width, smallest)
    }

    /// Most pixels of an upsampled map.
    pub const MAX_PIXELS: u64 = Scores::MAX_PIXELS;
}

/// The place of the smallest score, of equals the first.
fn smallest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score < scores[best] {
            best = place;
        }
    }
    best
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are at most 256 clusters"
)]
fn id_of_smallest(scores: &[f32]) -> u16 {
    smallest(scores) as u16
}
