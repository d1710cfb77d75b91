//! Scores of labels on a grid, and the labels that win at any size.

use super::{SegmentError, SegmentMap};

/// A score of each label in each cell of a grid. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    size: [u32; 2],
    labels: usize,
    /// `[height, width, labels]`.
    values: Vec<f32>,
}

impl Scores {
    /// Most pixels of a map.
    pub(super) const MAX_PIXELS: u64 = 1 << 26;

    /// `[height, width, labels]` values, row-major; at most [`SegmentMap::MAX_SEGMENTS`] labels.
    pub(super) const fn new(size: [u32; 2], labels: usize, values: Vec<f32>) -> Self {
        Self {
            size,
            labels,
            values,
        }
    }

    /// Height and width of the grid.
    pub(super) const fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The scores.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The winner of each pixel at another size: scores are interpolated bilinearly with half-pixel centres, and
    /// `winner` gives the place of the label that wins among a pixel's scores.
    pub(super) fn upsample(
        &self,
        height: u32,
        width: u32,
        winner: impl Fn(&[f32]) -> usize,
    ) -> Result<SegmentMap, SegmentError> {
        let (pixels, limit) = (u64::from(height) * u64::from(width), Self::MAX_PIXELS);
        if pixels > limit {
            return Err(SegmentError::TooManyPixels { pixels, limit });
        }
        let [rows, cells] = self.size;
        let stride = cells as usize * self.labels;
        let columns: Vec<Between> = between(cells, width).collect();
        let mut line = vec![0.0; stride];
        let mut scores = vec![0.0; self.labels];
        let mut ids = Vec::new();
        for row in between(rows, height) {
            let [above, below] = row.places.map(|y| &self.values[y * stride..][..stride]);
            row.mix(above, below, &mut line);
            for column in &columns {
                let places = column
                    .places
                    .map(|x| &line[x * self.labels..][..self.labels]);
                column.mix(places[0], places[1], &mut scores);
                ids.push(id(winner(&scores)));
            }
        }
        SegmentMap::new(height, width, ids)
    }
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

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are at most 2^16 labels"
)]
const fn id(label: usize) -> u16 {
    label as u16
}
