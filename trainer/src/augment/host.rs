//! The same changes on a CPU, one image at a time: what follows each other is done while a part of the image is in the
//! processor's registers, and the image is passed over once before its contrast's mean is known, once after, and for a
//! blur twice more.
//!
//! It computes what [`ops`](super::ops) does, but for rounding.

use super::ops::{GREY, kernel_radius};
use super::{Augmentation, ColorOp};

/// Pixels that are worked on at once: three planes of them fit the first cache.
const BLOCK: usize = 64;
/// Weights of a blur below this share of the largest are left out: what they would add is below what 32 bits hold.
const NEGLIGIBLE: f32 = 1e-8;

/// One block of red, green and blue.
type Block = [[f32; BLOCK]; 3];

/// Does to an image what was drawn for it: `pixels` RGB, rows of `side` pixels, to `output`, three planes in [0, 1].
///
/// # Panics
/// Where the sizes do not fit.
pub fn augment(pixels: &[u8], side: usize, plan: &Augmentation, output: &mut [f32]) {
    let count = side * side;
    let lengths = [pixels.len(), output.len()];
    assert_eq!(lengths, [3 * count; 2], "three values for each pixel");
    let contrast = plan
        .colors
        .iter()
        .position(|color| color.0 == ColorOp::Contrast);
    let (before, after) = plan.colors.split_at(contrast.unwrap_or(plan.colors.len()));
    let mut ends = Ends {
        grayscale: plan.grayscale,
        solarize: plan.solarize.filter(|_| plan.blur.is_none()),
    };
    let first_ends = if after.is_empty() { ends } else { Ends::NONE };
    let mut planes = Planes::of(output, count);
    let sums = planes.first_pass(pixels, before, first_ends);
    if let Some((&(_, factor), after)) = after.split_first() {
        let means = sums.map(|sum| single(sum / float(count)));
        planes.second_pass(means, single(factor), after, ends);
    }
    if let Some(sigma) = plan.blur {
        ends.solarize = plan.solarize;
        blur(output, side, sigma, ends.solarize);
    }
}

/// What ends the changes of colour.
#[derive(Clone, Copy)]
struct Ends {
    grayscale: bool,
    /// The threshold.
    solarize: Option<f64>,
}

impl Ends {
    const NONE: Self = Self {
        grayscale: false,
        solarize: None,
    };

    fn apply(self, block: &mut Block) {
        if self.grayscale {
            for at in 0..BLOCK {
                let grey = block[0][at] * GREY[0] + block[1][at] * GREY[1] + block[2][at] * GREY[2];
                for plane in block.iter_mut() {
                    plane[at] = grey;
                }
            }
        }
        if let Some(threshold) = self.solarize {
            for plane in block.iter_mut() {
                solarize(plane, single(threshold));
            }
        }
        clip(block);
    }
}

/// Three planes, each `count` long.
struct Planes<'a> {
    planes: [&'a mut [f32]; 3],
}

impl<'a> Planes<'a> {
    fn of(output: &'a mut [f32], count: usize) -> Self {
        let (red, others) = output.split_at_mut(count);
        let (green, blue) = others.split_at_mut(count);
        Self {
            planes: [red, green, blue],
        }
    }

    /// Bytes to [0, 1], the first changes of colour, and the sums of what comes out.
    fn first_pass(&mut self, pixels: &[u8], colors: &[(ColorOp, f64)], ends: Ends) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (number, bytes) in pixels.chunks(3 * BLOCK).enumerate() {
            let mut block = [[0.0; BLOCK]; 3];
            for (at, pixel) in bytes.as_chunks::<3>().0.iter().enumerate() {
                for (plane, &byte) in block.iter_mut().zip(pixel) {
                    plane[at] = f32::from(byte) / 255.0;
                }
            }
            change(&mut block, colors);
            ends.apply(&mut block);
            let length = bytes.len() / 3;
            for (sum, plane) in sums.iter_mut().zip(&block) {
                *sum += f64::from(plane[..length].iter().sum::<f32>());
            }
            self.store(number, &block, length);
        }
        sums
    }

    /// The contrast, and the changes of colour that follow it.
    fn second_pass(&mut self, means: [f32; 3], factor: f32, colors: &[(ColorOp, f64)], ends: Ends) {
        let count = self.planes[0].len();
        for (number, begin) in (0..count).step_by(BLOCK).enumerate() {
            let length = BLOCK.min(count - begin);
            let mut block = [[0.0; BLOCK]; 3];
            for (plane, stored) in block.iter_mut().zip(&self.planes) {
                plane[..length].copy_from_slice(&stored[begin..begin + length]);
            }
            for (plane, mean) in block.iter_mut().zip(means) {
                for value in plane.iter_mut() {
                    *value = (*value - mean) * factor + mean;
                }
            }
            clip(&mut block);
            change(&mut block, colors);
            ends.apply(&mut block);
            self.store(number, &block, length);
        }
    }

    fn store(&mut self, number: usize, block: &Block, length: usize) {
        let begin = number * BLOCK;
        for (plane, values) in self.planes.iter_mut().zip(block) {
            plane[begin..begin + length].copy_from_slice(&values[..length]);
        }
    }
}

/// Changes of colour that need no other pixels.
fn change(block: &mut Block, colors: &[(ColorOp, f64)]) {
    for &(op, parameter) in colors {
        match op {
            ColorOp::Brightness => {
                for value in block.iter_mut().flatten() {
                    *value += single(parameter);
                }
            }
            ColorOp::Contrast => {
                unreachable!("an image's contrast is changed once, between its passes")
            }
            ColorOp::Saturation => saturation(block, single(parameter)),
            ColorOp::Hue => hue(block, single(6.0 * parameter.rem_euclid(1.0))),
        }
        clip(block);
    }
}

fn clip(block: &mut Block) {
    for value in block.iter_mut().flatten() {
        *value = value.clamp(0.0, 1.0);
    }
}

fn solarize(values: &mut [f32], threshold: f32) {
    for value in values {
        let inverted = 1.0 - *value;
        *value = if *value < threshold { *value } else { inverted };
    }
}

/// Hue and value stay as the distance of the other channels from the value is scaled, at most to 0.
fn saturation(block: &mut Block, factor: f32) {
    let [red, green, blue] = block;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let value = red.max(*green).max(*blue);
        let range = value - red.min(*green).min(*blue);
        let most = if range > 0.0 { value / range } else { factor };
        let scale = factor.min(most);
        *red = value - (value - *red) * scale;
        *green = value - (value - *green) * scale;
        *blue = value - (value - *blue) * scale;
    }
}

/// Turns the hue by so many sixths of a circle, from 0 to 6.
fn hue(block: &mut Block, sixths: f32) {
    let [red, green, blue] = block;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let (r, g, b) = (*red, *green, *blue);
        let value = r.max(g).max(b);
        let chroma = value - r.min(g).min(b);
        let share = 1.0 / if chroma > 0.0 { chroma } else { 1.0 };
        // Red wins over green, and green over blue, where they are equal.
        let of_blue = (r - g) * share + 4.0;
        let of_green = (b - r) * share + 2.0;
        let of_red = (g - b) * share;
        let turn = if g >= value { of_green } else { of_blue };
        let turn = if r >= value { of_red } else { turn };
        let turn = turn + sixths;
        let turn = if turn < 0.0 { turn + 6.0 } else { turn };
        let turn = if turn >= 6.0 { turn - 6.0 } else { turn };
        let channel = |place: f32| {
            let turn = turn + place;
            let turn = if turn >= 6.0 { turn - 6.0 } else { turn };
            let away = turn.min(4.0 - turn).clamp(0.0, 1.0);
            value - chroma * away
        };
        (*red, *green, *blue) = (channel(5.0), channel(3.0), channel(1.0));
    }
}

/// Convolves each plane with a Gaussian, columns first, as [`ops::blur`](super::ops::blur) does; then solarizes.
fn blur(planes: &mut [f32], side: usize, sigma: f64, threshold: Option<f64>) {
    let weights = half_kernel(side, sigma);
    let radius = weights.len() - 1;
    let empty = vec![0.0; side];
    let mut columns = vec![0.0; side * side];
    let mut padded = vec![0.0; side + 2 * radius];
    for plane in planes.chunks_exact_mut(side * side) {
        let row = |y: Option<usize>| {
            let row = y.and_then(|y| plane.get(y * side..(y + 1) * side));
            row.unwrap_or(&empty)
        };
        for (y, output) in columns.chunks_exact_mut(side).enumerate() {
            scale(output, row(Some(y)), weights[0]);
            for (distance, &weight) in weights.iter().enumerate().skip(1) {
                let pair = [row(y.checked_sub(distance)), row(Some(y + distance))];
                add_pair(output, pair, weight);
            }
        }
        for (input, output) in columns.chunks_exact(side).zip(plane.chunks_exact_mut(side)) {
            padded[radius..radius + side].copy_from_slice(input);
            scale(output, input, weights[0]);
            for (distance, &weight) in weights.iter().enumerate().skip(1) {
                let pair = [&padded[radius - distance..], &padded[radius + distance..]];
                add_pair(output, pair.map(|row| &row[..side]), weight);
            }
            if let Some(threshold) = threshold {
                solarize(output, single(threshold));
            }
            for value in output {
                *value = value.clamp(0.0, 1.0);
            }
        }
    }
}

/// The weights at distance 0, 1, … of the kernel's middle, which sum to 1 with those of the other half; the last that
/// are negligible are left out.
fn half_kernel(side: usize, sigma: f64) -> Vec<f32> {
    let radius = usize::try_from(kernel_radius(i64::try_from(side).unwrap_or(i64::MAX)));
    let weight = |distance| single((-float(distance * distance) / (2.0 * sigma * sigma)).exp());
    let mut weights: Vec<f32> = (0..=radius.unwrap_or(0)).map(weight).collect();
    let sum = 2.0 * weights.iter().sum::<f32>() - weights[0];
    weights.retain(|&weight| weight > NEGLIGIBLE);
    weights.iter().map(|weight| weight / sum).collect()
}

fn scale(output: &mut [f32], row: &[f32], weight: f32) {
    for (output, value) in output.iter_mut().zip(row) {
        *output = value * weight;
    }
}

fn add_pair(output: &mut [f32], [one, other]: [&[f32]; 2], weight: f32) {
    for ((output, one), other) in output.iter_mut().zip(one).zip(other) {
        *output += (one + other) * weight;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "colours are 32-bit numbers"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "pixels are counted below 2^52")]
const fn float(count: usize) -> f64 {
    count as f64
}
