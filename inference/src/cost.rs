//! What a piece of work costs, known before it begins.

use detcon_core::arch::{ResNetSpec, Stage};

use crate::output::Output;

/// Bytes of a float32.
const FLOAT: u64 = 4;
/// Channels of the input.
const RGB: usize = 3;
/// Step of the stem's max pool.
const POOL_STRIDE: usize = 2;

/// What an engine call costs. Numbers beyond 64 bits are the largest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Pixels of its input.
    pub pixels: u64,
    /// Bytes of the largest tensor on the way: an engine holds a few of about that size.
    pub tensor_bytes: u64,
    /// Bytes of its answer, float32.
    pub answer_bytes: u64,
}

impl Cost {
    /// Of an output of a network for images of this shape, `[N, H, W]`: what each convolution gives, at the size that
    /// the strides before it leave.
    pub(crate) fn of(
        spec: ResNetSpec,
        output: Output,
        [images, height, width]: [usize; 3],
    ) -> Self {
        let images = images as u64;
        let bytes = |channels: usize, [rows, columns]: [u64; 2]| {
            product(&[images, channels as u64, rows, columns, FLOAT])
        };
        let input = [height as u64, width as u64];
        let mut size = strided(input, spec.stem().stride);
        let mut largest = bytes(RGB, input).max(bytes(spec.stem().outputs, size));
        size = strided(size, POOL_STRIDE);
        let mut stages = [0; Stage::ALL.len()];
        for block in spec.blocks() {
            for conv in &block.convs {
                size = strided(size, conv.stride);
                stages[block.group] = bytes(conv.outputs, size);
                largest = largest.max(stages[block.group]);
            }
        }
        Self {
            pixels: product(&[images, input[0], input[1]]),
            tensor_bytes: largest,
            answer_bytes: match output {
                Output::Embedding => bytes(spec.embedding_size(), [1, 1]),
                Output::Features(stage) => stages[stage as usize],
            },
        }
    }
}

/// Rows and columns after a step of a stride: SAME padding rounds up.
fn strided(size: [u64; 2], stride: usize) -> [u64; 2] {
    size.map(|side| side.div_ceil(stride as u64))
}

fn product(factors: &[u64]) -> u64 {
    let factors = factors.iter();
    factors.fold(1, |product: u64, &factor| product.saturating_mul(factor))
}
