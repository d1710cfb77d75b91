//! How often a value of the graph takes which magnitude.

/// Bins of a histogram: eight for each step of 8 bits.
const BINS: usize = 2048;

/// Smallest and largest value seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Extent {
    pub(super) const EMPTY: Self = Self {
        low: f32::INFINITY,
        high: f32::NEG_INFINITY,
    };

    /// Whether values were seen and none was infinite.
    pub(super) const fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    pub(super) fn add(&mut self, values: &[f32]) {
        for &value in values {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }
}

/// Counts over equal bins between the smallest and the largest value.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    extent: Extent,
    counts: Vec<u64>,
}

impl Histogram {
    /// An empty one; values outside `extent` will count at its ends.
    pub(super) fn new(extent: Extent) -> Self {
        Self {
            extent,
            counts: vec![0; BINS],
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a bin's number; what falls outside saturates"
    )]
    pub(super) fn add(&mut self, values: &[f32]) {
        let Extent { low, high } = self.extent;
        let per_unit = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
        for &value in values {
            let bin = ((value - low) * per_unit) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    pub(super) fn low(&self) -> f64 {
        f64::from(self.extent.low)
    }

    pub(super) fn high(&self) -> f64 {
        f64::from(self.extent.high)
    }

    /// Width of a bin.
    #[expect(clippy::cast_precision_loss, reason = "there are 2048")]
    pub(super) fn step(&self) -> f64 {
        (self.high() - self.low()) / BINS as f64
    }

    /// How many values were counted.
    pub(super) fn total(&self) -> f64 {
        self.bins().map(|(_, count)| count).sum()
    }

    /// Each bin's centre and count, from the lowest.
    #[expect(
        clippy::cast_precision_loss,
        reason = "no calibration sees 2^52 values"
    )]
    pub(super) fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + ExactSizeIterator {
        let (low, step) = (self.low(), self.step());
        let counts = self.counts.iter().enumerate();
        counts.map(move |(i, &count)| (low + (i as f64 + 0.5) * step, count as f64))
    }
}
