//! Which range of a value its 256 steps cover: four estimators over a histogram.
//!
//! Values beyond the range saturate, values inside are rounded: a wider range clips less and rounds coarser.

use crate::onnx::qdq::Affine;

use super::histogram::Histogram;

/// Steps that 8 bits count.
const STEPS: f64 = 255.0;
/// Share of the values that `Method::Percentile` keeps in the range.
const KEPT: f64 = 0.9999;
/// Ranges that the searching estimators try, from the whole histogram down to this share of it.
const NARROWEST: f64 = 0.2;
const CANDIDATES: usize = 80;

/// How the range of a value is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The smallest and the largest value seen.
    MinMax,
    /// What 99.99 % of the values lie in.
    Percentile,
    /// The least Kullback-Leibler divergence between the values and the stored values (TensorRT's calibration).
    Entropy,
    /// The least mean squared error of the stored values.
    Mse,
}

impl Method {
    /// The name that users and manifests write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        }
    }
}

/// A range that contains zero: what padding and an unlit channel hold must be stored exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn new(low: f64, high: f64) -> Self {
        Self {
            low: low.min(0.0),
            high: high.max(0.0),
        }
    }

    /// Estimates the range of what a histogram counts.
    pub(super) fn estimate(method: Method, histogram: &Histogram) -> Self {
        match method {
            Method::MinMax => Self::new(histogram.low(), histogram.high()),
            Method::Percentile => percentile(histogram),
            Method::Entropy => search(histogram, divergence),
            Method::Mse => search(histogram, squared_error),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a scale is float32, and a zero point lies between 0 and 255"
    )]
    pub(super) fn to_affine(self) -> Affine {
        let width = self.high - self.low;
        if width < f64::from(f32::MIN_POSITIVE) {
            // A value that is always zero: any scale stores it exactly.
            return Affine {
                scale: 1.0,
                zero_point: 0,
            };
        }
        let scale = width / STEPS;
        Affine {
            scale: scale as f32,
            zero_point: (-self.low / scale).round() as u8,
        }
    }
}

fn percentile(histogram: &Histogram) -> Range {
    let dropped = histogram.total() * (1.0 - KEPT) / 2.0;
    let half = histogram.step() / 2.0;
    let low = first_beyond(histogram.bins(), dropped).map_or(0.0, |centre| centre - half);
    let high = first_beyond(histogram.bins().rev(), dropped).map_or(0.0, |centre| centre + half);
    Range::new(low, high)
}

/// The centre of the bin before and in which more than `dropped` values lie.
fn first_beyond(mut bins: impl Iterator<Item = (f64, f64)>, dropped: f64) -> Option<f64> {
    let mut passed = 0.0;
    let found = bins.find(|(_, count)| {
        passed += count;
        passed > dropped
    });
    found.map(|(centre, _)| centre)
}

/// The candidate of least cost: first the upper end is moved, then, where values are negative, the lower one.
fn search(histogram: &Histogram, cost: fn(&Histogram, Range) -> f64) -> Range {
    let whole = Range::new(histogram.low(), histogram.high());
    let best = |candidates: &mut dyn Iterator<Item = Range>| {
        candidates
            .map(|range| (cost(histogram, range), range))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(whole, |(_, range)| range)
    };
    let upper = best(&mut shares().map(|share| Range {
        high: whole.high * share,
        ..whole
    }));
    best(&mut shares().map(|share| Range {
        low: whole.low * share,
        ..upper
    }))
}

fn shares() -> impl Iterator<Item = f64> {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 candidates")]
    let share = |i| 1.0 - (1.0 - NARROWEST) * i as f64 / CANDIDATES as f64;
    (0..=CANDIDATES).map(share)
}

/// Rounding inside the range (a twelfth of a squared step) and the distance to it outside.
fn squared_error(histogram: &Histogram, range: Range) -> f64 {
    let step = (range.high - range.low) / STEPS;
    let cost = |(centre, count): (f64, f64)| {
        let beyond = (range.low - centre).max(centre - range.high).max(0.0);
        // Zero is stored exactly, and after a ReLU it is the most frequent value.
        let rounding = if centre.abs() <= histogram.step() {
            0.0
        } else {
            step * step / 12.0
        };
        count * (beyond * beyond + rounding)
    };
    histogram.bins().map(cost).sum()
}

/// Kullback-Leibler divergence from the histogram, its tails gathered at the range's ends, to what 256 steps keep
/// of it: every step's count spread evenly over its bins that are not empty.
fn divergence(histogram: &Histogram, range: Range) -> f64 {
    let step = (range.high - range.low) / STEPS;
    let stored = |centre: f64| {
        let inside = centre.clamp(range.low, range.high);
        ((inside - range.low) / step).round()
    };
    let mut cost = 0.0;
    let bins: Vec<_> = histogram.bins().filter(|(_, count)| *count > 0.0).collect();
    for group in bins.chunk_by(|a, b| stored(a.0) == stored(b.0)) {
        let inside = |centre: f64| centre >= range.low && centre <= range.high;
        let gathered: f64 = group.iter().map(|(_, count)| count).sum();
        let kept: f64 = group
            .iter()
            .filter(|(centre, _)| inside(*centre))
            .map(|(_, count)| count)
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 bins")]
        let spread = kept.max(1.0) / group.len() as f64;
        let clipped = gathered - kept;
        for (i, (_, count)) in group.iter().enumerate() {
            let actual = if i == 0 { count + clipped } else { *count };
            cost += actual * (actual / spread).ln();
        }
    }
    cost / histogram.total()
}
