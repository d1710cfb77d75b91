//! The Gaussian blur before the graph: `SciPy`'s `gaussian_filter` in 64 bits, with its order of additions, because one
//! rounding difference can order two equal edges. Rows first along the height, then along the width, half-sample
//! symmetric at the borders (`mode="reflect"`), cut at four standard deviations.
//!
//! It works row by row, so that no blurred image ever exists.

use crate::image::RgbImage;

/// Channels of an image.
pub(super) const CHANNELS: usize = 3;

/// One side of a symmetric kernel: the middle weight, then outwards. One weight alone changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kernel(Vec<f64>);

impl Kernel {
    /// `SciPy`'s `_gaussian_kernel1d`. It leaves an image alone below a `sigma` of 1e-15.
    ///
    /// On a CPU with AVX-512, NumPy's `exp` is the last bit off the C library's for some values of `sigma` (0.5 and 1
    /// among them, not upstream's 0.8), which moves labels of about one image in 300. This is the C library's.
    pub(super) fn gaussian(sigma: f64) -> Self {
        const TRUNCATE: f64 = 4.0;
        if sigma <= 1e-15 {
            return Self(vec![1.0]);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "SciPy cuts, and sigma is capped"
        )]
        let radius = (TRUNCATE * sigma + 0.5) as i32;
        let falloff = -0.5 / (sigma * sigma);
        let weights: Vec<f64> = (-radius..=radius)
            .map(|x| (falloff * f64::from(x * x)).exp())
            .collect();
        let sum = pairwise_sum(&weights);
        let outwards = weights.iter().skip(weights.len() / 2);
        Self(outwards.map(|weight| weight / sum).collect())
    }

    /// Neighbours on either side.
    fn radius(&self) -> usize {
        self.0.len() - 1
    }

    /// The weights of the neighbours with their distance, outermost first, as `SciPy` adds them.
    fn inwards(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let neighbours = self.0.iter().copied().enumerate().skip(1);
        neighbours.rev()
    }
}

/// NumPy's order of summation: eight running sums up to 128 values, halves beyond.
fn pairwise_sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().sum();
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = chunks[0];
    for chunk in &chunks[1..] {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    let pairs: [f64; 4] = std::array::from_fn(|i| sums[2 * i] + sums[2 * i + 1]);
    let sum = (pairs[0] + pairs[1]) + (pairs[2] + pairs[3]);
    rest.iter().fold(sum, |sum, value| sum + value)
}

/// Where a coordinate beyond the border is mirrored to: `d c b a | a b c d | d c b a`.
fn reflect(coordinate: isize, extent: usize) -> usize {
    let period = 2 * extent;
    let place = coordinate.rem_euclid(period.cast_signed()).unsigned_abs();
    place.min(period - 1 - place)
}

/// A row in 64 bits: three planes of `width` values.
type Row = [f64];

/// Buffers of the blur.
#[derive(Debug, Default)]
pub(super) struct Blur {
    /// The rows around the current one as the image has them, each in the slot of its number modulo their count.
    sources: Vec<f64>,
    /// One plane of a row, blurred along the height, with `radius` mirrored values on either side.
    padded: Vec<f64>,
    /// The row above, and the row.
    blurred: [Vec<f64>; 2],
}

impl Blur {
    /// Calls `visit` with each blurred row and the one above it, from the top; the first has none.
    pub(super) fn for_each_row(
        &mut self,
        image: &RgbImage,
        kernel: &Kernel,
        mut visit: impl FnMut(Option<&Row>, &Row),
    ) {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let stride = width * CHANNELS;
        let slots = height.min(2 * kernel.radius() + 1);
        self.sources.resize(slots * stride, 0.0);
        self.padded.resize(width + 2 * kernel.radius(), 0.0);
        for row in &mut self.blurred {
            row.resize(stride, 0.0);
        }
        let mut pixels = image.pixels().chunks_exact(stride);
        let mut loaded = 0;
        for y in 0..height {
            let wanted = height.min(y + kernel.radius() + 1);
            for (number, bytes) in (loaded..wanted).zip(&mut pixels) {
                let slot = number % slots * stride;
                load(bytes, &mut self.sources[slot..slot + stride]);
            }
            loaded = wanted;
            self.blurred.swap(0, 1);
            self.blur_row(y, height, kernel);
            let [above, row] = &self.blurred;
            visit((y > 0).then_some(&above[..]), row);
        }
    }

    fn blur_row(&mut self, y: usize, height: usize, kernel: &Kernel) {
        let stride = self.blurred[1].len();
        let (width, radius) = (stride / CHANNELS, kernel.radius());
        let slots = self.sources.len() / stride;
        for (channel, output) in self.blurred[1].chunks_exact_mut(width).enumerate() {
            let source = |offset: isize| {
                let row = reflect(y.cast_signed() + offset, height);
                let start = row % slots * stride + channel * width;
                &self.sources[start..start + width]
            };
            let middle = &mut self.padded[radius..radius + width];
            scale(source(0), kernel.0[0], middle);
            for (distance, weight) in kernel.inwards() {
                let distance = distance.cast_signed();
                add_pair(source(-distance), source(distance), weight, middle);
            }
            for i in 1..=radius {
                let (left, right) = (i.cast_signed(), (width + i - 1).cast_signed());
                self.padded[radius - i] = self.padded[radius + reflect(-left, width)];
                self.padded[radius + width + i - 1] = self.padded[radius + reflect(right, width)];
            }
            scale(&self.padded[radius..radius + width], kernel.0[0], output);
            for (distance, weight) in kernel.inwards() {
                let before = &self.padded[radius - distance..][..width];
                let after = &self.padded[radius + distance..][..width];
                add_pair(before, after, weight, output);
            }
        }
    }
}

/// Splits interleaved bytes into planes from 0 to 1. scikit-image multiplies by the reciprocal.
fn load(bytes: &[u8], row: &mut Row) {
    let width = row.len() / CHANNELS;
    for (channel, plane) in row.chunks_exact_mut(width).enumerate() {
        let samples = bytes[channel..].iter().step_by(CHANNELS);
        for (value, &sample) in plane.iter_mut().zip(samples) {
            *value = f64::from(sample) * (1.0 / 255.0);
        }
    }
}

fn scale(input: &[f64], weight: f64, output: &mut [f64]) {
    for (output, input) in output.iter_mut().zip(input) {
        *output = input * weight;
    }
}

fn add_pair(before: &[f64], after: &[f64], weight: f64, output: &mut [f64]) {
    for ((output, before), after) in output.iter_mut().zip(before).zip(after) {
        *output += (before + after) * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_mirrored_with_their_edge_pixel() {
        let mirrored: Vec<usize> = (-4..7).map(|x| reflect(x, 3)).collect();
        assert_eq!(mirrored, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
    }
}
