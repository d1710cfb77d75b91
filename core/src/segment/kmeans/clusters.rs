//! The clusters of a feature map, on its own grid and at any size.

use super::lloyd::{Mean, Points};
use crate::segment::{SegmentError, SegmentMap};

/// The clusters of a feature map, numbered in the order of their first cells.
#[derive(Clone, Debug)]
pub struct Clusters {
    segments: SegmentMap,
    /// How far each cell is from each cluster, [height, width, clusters]; smaller is nearer.
    scores: Vec<f32>,
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
            scores,
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
        let (pixels, limit) = (u64::from(height) * u64::from(width), Self::MAX_PIXELS);
        if pixels > limit {
            return Err(SegmentError::TooManyPixels { pixels, limit });
        }
        let stride = self.segments.width() as usize * self.count;
        let columns: Vec<Between> = between(self.segments.width(), width).collect();
        let mut line = vec![0.0; stride];
        let mut scores = vec![0.0; self.count];
        let mut ids = Vec::new();
        for row in between(self.segments.height(), height) {
            let [above, below] = row.places.map(|y| &self.scores[y * stride..][..stride]);
            row.mix(above, below, &mut line);
            for column in &columns {
                let places = column.places.map(|x| &line[x * self.count..][..self.count]);
                column.mix(places[0], places[1], &mut scores);
                ids.push(id_of_smallest(&scores));
            }
        }
        SegmentMap::new(height, width, ids)
    }

    /// Most pixels of an upsampled map.
    pub const MAX_PIXELS: u64 = 1 << 26;
}

/// Between which two places a pixel lies, and how far it is from the first, from 0 to 1.
struct Between {
    places: [usize; 2],
    fraction: f32,
}

impl Between {
    fn mix(&self, first: &[f32], second: &[f32], output: &mut [f32]) {
        for ((output, first), second) in output.iter_mut().zip(first).zip(second) {
            *output = first + (second - first) * self.fraction;
        }
    }
}

/// Where each of `output` pixels lies among `input` places; beyond the outer middles it is at the border.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the position has been brought between 0 and the last place"
)]
fn between(input: u32, output: u32) -> impl Iterator<Item = Between> {
    let last = input - 1;
    (0..output).map(move |i| {
        let position = (f64::from(i) + 0.5) * f64::from(input) / f64::from(output) - 0.5;
        let position = position.clamp(0.0, f64::from(last));
        let first = position as u32;
        Between {
            places: [first as usize, last.min(first + 1) as usize],
            fraction: (position - f64::from(first)) as f32,
        }
    })
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
