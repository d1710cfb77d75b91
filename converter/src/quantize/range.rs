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
    /// The least Kullback-Leibler divergence between the values and the stored values (`TensorRT`'s calibration).
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

/// Kullback-Leibler divergence from the values in the range, those beyond it gathered at its ends, to what 256
/// steps keep of them: each step's count spread evenly over its bins that are not empty.
///
/// Zeros are left out, as `TensorRT` does: they are stored exactly, and after a ReLU they would outweigh the rest.
fn divergence(histogram: &Histogram, range: Range) -> f64 {
    let step = (range.high - range.low) / STEPS;
    let bins = histogram
        .bins()
        .filter(|(centre, count)| *count > 0.0 && centre.abs() > histogram.step());
    let (mut inside, mut below, mut above) = (Vec::new(), 0.0, 0.0);
    for (centre, count) in bins {
        if centre < range.low {
            below += count;
        } else if centre > range.high {
            above += count;
        } else {
            inside.push((((centre - range.low) / step).round(), count));
        }
    }
    let kept: f64 = inside.iter().map(|(_, count)| count).sum();
    let Some(last) = inside.len().checked_sub(1) else {
        return f64::INFINITY;
    };
    let total = kept + below + above;
    let mut cost = 0.0;
    let mut place = 0;
    for group in inside.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 bins")]
        let spread = group.iter().map(|(_, count)| count).sum::<f64>() / group.len() as f64;
        for (_, count) in group {
            let first = if place == 0 { below } else { 0.0 };
            let end = if place == last { above } else { 0.0 };
            let share = (count + first + end) / total;
            cost += share * (share * kept / spread).ln();
            place += 1;
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Extent;
    use super::*;

    const ALL: [Method; 4] = [
        Method::MinMax,
        Method::Percentile,
        Method::Entropy,
        Method::Mse,
    ];

    fn histogram(values: &[f32]) -> Histogram {
        let mut extent = Extent::EMPTY;
        extent.add(values);
        let mut histogram = Histogram::new(extent);
        histogram.add(values);
        histogram
    }

    /// A bell of 1 around `mean` without randomness: quantiles of the logistic distribution.
    fn bell(mean: f32) -> Vec<f32> {
        let quantile =
            |i: u16| (f32::from(i) / 10_000.0).ln() - (1.0 - f32::from(i) / 10_000.0).ln();
        (1..10_000).map(|i| mean + quantile(i)).collect()
    }

    #[test]
    fn minmax_covers_what_was_seen_and_zero() {
        let range = Range::estimate(Method::MinMax, &histogram(&[0.5, 2.0, 1.0]));
        assert_eq!(
            range,
            Range {
                low: 0.0,
                high: 2.0
            }
        );
        let range = Range::estimate(Method::MinMax, &histogram(&[-3.0, -1.0]));
        assert_eq!(
            range,
            Range {
                low: -3.0,
                high: 0.0
            }
        );
    }

    #[test]
    fn percentile_drops_one_value_in_ten_thousand_and_no_more() {
        let mut values: Vec<f32> = (0..50_000_u16).map(|i| f32::from(i) / 5e4).collect();
        values.extend([50.0; 2]);
        let range = Range::estimate(Method::Percentile, &histogram(&values));
        assert!((1.0..1.05).contains(&range.high), "{range:?}");
        values.extend([50.0; 20]);
        let range = Range::estimate(Method::Percentile, &histogram(&values));
        assert!((range.high - 50.0).abs() < 0.05, "{range:?}");
    }

    /// A million values in [0, 1] gain more from finer steps than one value of 3 loses by saturating; alone they
    /// leave nothing to clip.
    #[test]
    fn searching_estimators_clip_outliers_and_leave_even_values_alone() {
        let even: Vec<f32> = (0..50_000_u16).map(|i| f32::from(i) / 5e4).collect();
        for method in [Method::Entropy, Method::Mse] {
            let range = Range::estimate(method, &histogram(&even));
            assert!(range.high > 0.95, "{method:?}: {range:?}");
            let mut counted = Histogram::new(Extent {
                low: 0.0,
                high: 3.0,
            });
            counted.add(&[3.0]);
            (0..20).for_each(|_| counted.add(&even));
            let range = Range::estimate(method, &counted);
            assert!((0.95..2.6).contains(&range.high), "{method:?}: {range:?}");
        }
    }

    #[test]
    fn zero_is_stored_exactly_whatever_the_range() {
        for method in ALL {
            for values in [bell(0.0), bell(-4.0), bell(30.0), vec![0.0; 5], vec![-1.0]] {
                let affine = Range::estimate(method, &histogram(&values)).to_affine();
                assert!(affine.scale.is_finite() && affine.scale > 0.0, "{affine:?}");
            }
            let positive: Vec<f32> = bell(0.0).into_iter().map(|v| v.max(0.0)).collect();
            let affine = Range::estimate(method, &histogram(&positive)).to_affine();
            assert_eq!(
                affine.zero_point, 0,
                "after a ReLU all 255 steps are for what is lit"
            );
        }
    }
}
