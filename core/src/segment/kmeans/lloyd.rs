//! The arithmetic of k-means, over points of unit length.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::segment::{FeatureMap, SegmentError};

const MAX_ITERATIONS: usize = 100;

/// The cells' feature vectors, each of unit length, or zero.
pub(super) struct Points {
    /// [cells, channels].
    values: Vec<f32>,
    channels: usize,
}

impl Points {
    pub(super) fn new(features: FeatureMap<'_>) -> Result<Self, SegmentError> {
        let (cells, channels) = (features.cells(), features.channels());
        let mut values = vec![0.0; cells * channels];
        for (channel, plane) in features.planes().enumerate() {
            if plane.iter().any(|value| !value.is_finite()) {
                return Err(SegmentError::NotFinite { channel });
            }
            let column = values[channel..].iter_mut().step_by(channels);
            for (value, &feature) in column.zip(plane) {
                *value = feature;
            }
        }
        for point in values.chunks_exact_mut(channels) {
            normalize(point);
        }
        Ok(Self { values, channels })
    }

    pub(super) fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.channels)
    }

    fn get(&self, cell: usize) -> &[f32] {
        &self.values[cell * self.channels..][..self.channels]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the result has the features' own 32 bits"
)]
fn normalize(point: &mut [f32]) {
    let squares = point.iter().map(|&value| f64::from(value).powi(2));
    let length = squares.sum::<f64>().sqrt();
    if length > 0.0 {
        for value in point {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

/// A cluster's middle, and half the square of its length.
pub(super) struct Mean {
    vector: Vec<f32>,
    half_square: f32,
}

impl Mean {
    fn of(vector: Vec<f32>) -> Self {
        let half_square = dot(&vector, &vector) / 2.0;
        Self {
            vector,
            half_square,
        }
    }

    /// Half the squared distance to a point, less a part that is the same for all means: smaller is nearer. It is
    /// linear in the point.
    pub(super) fn score(&self, point: &[f32]) -> f32 {
        self.half_square - dot(point, &self.vector)
    }
}

/// Eight sums at once: a fixed order that vector units can follow.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (ones, one_rest) = one.as_chunks::<8>();
    let (others, other_rest) = other.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (one, other) in ones.iter().zip(others) {
        for i in 0..8 {
            sums[i] += one[i] * other[i];
        }
    }
    let rest = one_rest.iter().zip(other_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

/// The mean with the smallest score, of equals the first.
fn nearest(point: &[f32], means: &[Mean]) -> usize {
    let mut best = (f32::INFINITY, 0);
    for (number, mean) in means.iter().enumerate() {
        let score = mean.score(point);
        if score < best.0 {
            best = (score, number);
        }
    }
    best.1
}

/// The clusters' middles.
pub(super) fn means(points: &Points, k: usize, seed: u64) -> Vec<Mean> {
    let mut means = seeds(points, k, seed);
    let mut assignments = vec![usize::MAX; points.iter().len()];
    for _ in 0..MAX_ITERATIONS {
        let mut changed = false;
        for (assignment, point) in assignments.iter_mut().zip(points.iter()) {
            let nearest = nearest(point, &means);
            changed |= std::mem::replace(assignment, nearest) != nearest;
        }
        if !changed {
            break;
        }
        update(&mut means, points, &assignments);
    }
    means
}

/// k-means++: each start is a cell, drawn with the square of its distance to the starts before.
fn seeds(points: &Points, k: usize, seed: u64) -> Vec<Mean> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut distances = vec![1.0_f64; points.iter().len()];
    let mut means: Vec<Mean> = Vec::with_capacity(k);
    while means.len() < k {
        let cell = draw(&distances, &mut random);
        let start = points.get(cell);
        for (distance, point) in distances.iter_mut().zip(points.iter()) {
            let differences = point.iter().zip(start).map(|(a, b)| f64::from(a - b));
            let squared: f64 = differences.map(|difference| difference * difference).sum();
            *distance = if means.is_empty() {
                squared
            } else {
                distance.min(squared)
            };
        }
        means.push(Mean::of(start.to_vec()));
    }
    means
}

/// A place, with the probability of its weight. Without weights, the first.
fn draw(weights: &[f64], random: &mut ChaCha8Rng) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    let fraction = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut left = fraction * weights.iter().sum::<f64>();
    let mut last = 0;
    for (place, &weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0.0)
    {
        if left < weight {
            return place;
        }
        left -= weight;
        last = place;
    }
    last
}

/// Moves each mean to the middle of its points. One without points stays.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the result has the features' own 32 bits"
)]
fn update(means: &mut [Mean], points: &Points, assignments: &[usize]) {
    let mut sums = vec![0.0_f64; means.len() * points.channels];
    let mut counts = vec![0_u32; means.len()];
    for (&assignment, point) in assignments.iter().zip(points.iter()) {
        counts[assignment] += 1;
        let sum = &mut sums[assignment * points.channels..][..points.channels];
        for (sum, &value) in sum.iter_mut().zip(point) {
            *sum += f64::from(value);
        }
    }
    let sums = sums.chunks_exact(points.channels);
    for ((mean, &count), sum) in means.iter_mut().zip(&counts).zip(sums) {
        if count > 0 {
            let middle = sum.iter().map(|sum| (sum / f64::from(count)) as f32);
            *mean = Mean::of(middle.collect());
        }
    }
}
