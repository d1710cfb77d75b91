//! TensorFlow's bicubic resize (`resize_bicubic_op.cc`, half-pixel centres, no antialiasing), on a window of an image.
//!
//! It is written out rather than taken from a resizing library, for three properties that the published numbers have:
//! the cubic (a = -0.5) is read from a table of 1024 steps; taps outside the window weigh nothing and the others are
//! scaled to sum to one; and values are rounded once, at the end. Library paths in 8 or 16 bits differ from it by up to
//! 10/255 at edges, and their exact ones convert the whole window before they start.
//!
//! Rows first, then columns: each output row is one weighted sum of four rows of the window, which compilers turn into
//! vector code, and only the few pixels that are left take four taps more.

use super::{Flip, Shown, Window};
use crate::image::RgbImage;

/// Steps between two pixels at which the cubic is evaluated (`kTableSize`).
const TABLE_SIZE: f32 = 1024.0;

/// Keys' cubic with a = -0.5, as `tf.image.resize` uses it.
const A: f32 = -0.5;

/// Buffers that are kept from one image to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    /// One row of the window after the vertical sum, RGB, and one float beyond it.
    blended: Vec<f32>,
}

/// The four pixels along one axis that an output pixel is made of.
#[derive(Clone, Copy, Debug)]
struct Taps {
    at: [usize; 4],
    weights: [f32; 4],
}

/// Resizes what is shown of the image to `output`: RGB, rows of `width` pixels.
pub(super) fn resize(
    image: &RgbImage,
    Shown { window, flip }: Shown,
    output: &mut [u8],
    width: usize,
    scratch: &mut Scratch,
) {
    fill_taps(&mut scratch.rows, window.height, output.len() / (3 * width));
    fill_taps(&mut scratch.columns, window.width, width);
    match flip {
        Flip::None => {}
        Flip::LeftRight => {
            let last = window.width as usize - 1;
            for taps in &mut scratch.columns {
                taps.at = taps.at.map(|at| last - at);
            }
        }
    }
    let columns = window.width as usize * 3;
    scratch.blended.clear();
    scratch.blended.resize(columns + 1, 0.0);
    for (taps, output_row) in scratch.rows.iter().zip(output.chunks_exact_mut(width * 3)) {
        let rows = taps.at.map(|row| window_row(image, window, row));
        blend_rows(rows, taps.weights, &mut scratch.blended[..columns]);
        blend_columns(&scratch.blended, &scratch.columns, output_row);
    }
}

/// The RGB bytes of one row of the window.
fn window_row(image: &RgbImage, window: Window, row: usize) -> &[u8] {
    let start =
        (window.offset_y as usize + row) * image.width() as usize + window.offset_x as usize;
    &image.pixels()[start * 3..][..window.width as usize * 3]
}

fn blend_rows(rows: [&[u8]; 4], weights: [f32; 4], blended: &mut [f32]) {
    let rows = rows.map(|row| &row[..blended.len()]);
    for (i, value) in blended.iter_mut().enumerate() {
        let samples = rows.map(|row| f32::from(row[i]));
        *value = samples[0] * weights[0]
            + samples[1] * weights[1]
            + samples[2] * weights[2]
            + samples[3] * weights[3];
    }
}

fn blend_columns(blended: &[f32], columns: &[Taps], output: &mut [u8]) {
    for (taps, pixel) in columns.iter().zip(output.as_chunks_mut::<3>().0) {
        // Four floats at a time fill a vector register; the fourth is the next pixel's red and goes unused.
        let mut sums = [0.0; 4];
        for (&at, &weight) in taps.at.iter().zip(&taps.weights) {
            let samples: [f32; 4] = *blended[at * 3..]
                .first_chunk()
                .expect("one float beyond the row");
            for (sum, sample) in sums.iter_mut().zip(samples) {
                *sum += sample * weight;
            }
        }
        let bytes = sums.map(to_byte);
        *pixel = [bytes[0], bytes[1], bytes[2]];
    }
}

/// Rounds to the nearest byte. At 2^23 a float's last bit is worth one, so the addition rounds, in every lane at once.
fn to_byte(value: f32) -> u8 {
    let [byte, ..] = (value.clamp(0.0, 255.0) + 8_388_608.0).to_le_bytes();
    byte
}

/// The taps of every output pixel along one axis.
#[expect(
    clippy::cast_precision_loss,
    reason = "TensorFlow computes positions in 32 bits"
)]
fn fill_taps(taps: &mut Vec<Taps>, extent: u32, size: usize) {
    let scale = extent as f32 / size as f32;
    taps.clear();
    taps.extend((0..size).map(|output| tap(output as f32, scale, extent)));
}

/// `GetWeightsAndIndices` with half-pixel centres.
#[expect(
    clippy::cast_possible_truncation,
    reason = "positions lie within an image's side"
)]
fn tap(output: f32, scale: f32, extent: u32) -> Taps {
    let position = (output + 0.5) * scale - 0.5;
    let before = position.floor();
    let step = ((position - before) * TABLE_SIZE).round_ties_even() / TABLE_SIZE;
    let cubic = [
        far(1.0 + step),
        near(step),
        near(1.0 - step),
        far(2.0 - step),
    ];
    let first = before as i64 - 1;
    let last = i64::from(extent) - 1;
    let at = [first, first + 1, first + 2, first + 3];
    let weights: [f32; 4] = std::array::from_fn(|k| {
        if (0..=last).contains(&at[k]) {
            cubic[k]
        } else {
            0.0
        }
    });
    let sum: f32 = weights.iter().sum();
    Taps {
        at: at.map(|at| usize::try_from(at.clamp(0, last)).expect("not negative")),
        weights: weights.map(|weight| weight / sum),
    }
}

/// The cubic within one pixel of its centre.
fn near(x: f32) -> f32 {
    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
}

/// The cubic from one pixel of its centre to two.
fn far(x: f32) -> f32 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}
