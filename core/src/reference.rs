//! The reference forward pass: the network in plain loops over float64, slow and obvious.
//!
//! It is what a model directory's expected embedding comes from, so it shares nothing with the ONNX writer but
//! the parameter table. Batch norms are applied as they stand, not folded.
//!
//! Source: `ResNet.__call__`, `BlockV1.__call__`, `BlockV2.__call__` of dm-haiku 0.0.11 with TensorFlow's SAME
//! padding, and the input normalisation of the published `utils/dataset.py`.

use rayon::prelude::*;

use crate::arch::{BATCH_NORM_EPSILON, Block, Conv, INPUT_MEAN, INPUT_STD, Version};
use crate::checkpoint::{Checkpoint, Tensor};

/// Side of the max pool that follows the stem, and of its step.
const POOL: (usize, usize) = (3, 2);

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Features {
    /// c2 … c5, each `[N, C, h, w]`.
    pub stages: [Tensor; 4],
    /// The spatial mean of c5, `[N, D]`.
    pub embedding: Tensor,
}

/// Runs the network on `images`: uint8 RGB of `shape` `[N, H, W, 3]`.
///
/// # Panics
/// Where `images` is not as long as `shape` says, or an image has no pixel.
#[must_use]
pub fn forward(checkpoint: &Checkpoint, images: &[u8], shape: [usize; 4]) -> Features {
    let [n, height, width, channels] = shape;
    assert_eq!(
        (channels, images.len()),
        (3, n * height * width * 3),
        "images of shape {shape:?}"
    );
    let mut passes: Vec<_> = images
        .chunks_exact(height * width * 3)
        .map(|image| Pass { checkpoint }.stages(&normalise(image, height, width)))
        .collect();
    let stage = |i: usize| {
        let [c, h, w] = passes[0][i].shape;
        let values = passes
            .iter()
            .flat_map(|stages| stages[i].to_f32())
            .collect();
        Tensor::new(vec![n, c, h, w], values)
    };
    let stages = [stage(0), stage(1), stage(2), stage(3)];
    let embedding = passes
        .iter_mut()
        .flat_map(|stages| stages[3].spatial_mean())
        .collect();
    let embedding = Tensor::new(vec![n, checkpoint.spec().embedding_size()], embedding);
    Features { stages, embedding }
}

/// One image's activations, `[C, H, W]`.
#[derive(Clone)]
struct Map {
    shape: [usize; 3],
    values: Vec<f64>,
}

impl Map {
    fn filled(shape: [usize; 3], value: f64) -> Self {
        Self {
            shape,
            values: vec![value; shape.iter().product()],
        }
    }

    fn plane(&self, channel: usize) -> &[f64] {
        let area = self.shape[1] * self.shape[2];
        &self.values[channel * area..][..area]
    }

    fn relu(mut self) -> Self {
        self.values
            .iter_mut()
            .for_each(|value| *value = value.max(0.0));
        self
    }

    fn add(mut self, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape);
        self.values
            .iter_mut()
            .zip(&other.values)
            .for_each(|(value, summand)| *value += summand);
        self
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "results are float32, as the published code's are"
    )]
    fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "results are float32, as the published code's are"
    )]
    #[expect(clippy::cast_precision_loss, reason = "no image has 2^52 pixels")]
    fn spatial_mean(&self) -> Vec<f32> {
        let area = self.shape[1] * self.shape[2];
        (0..self.shape[0])
            .map(|c| (self.plane(c).iter().sum::<f64>() / area as f64) as f32)
            .collect()
    }
}

/// Interleaved bytes to normalised planes.
fn normalise(image: &[u8], height: usize, width: usize) -> Map {
    let plane = |c: usize| {
        image
            .iter()
            .skip(c)
            .step_by(3)
            .map(move |&v| (f64::from(v) / 255.0 - INPUT_MEAN[c]) / INPUT_STD[c])
    };
    Map {
        shape: [3, height, width],
        values: (0..3).flat_map(plane).collect(),
    }
}

/// Outputs along an axis of `size`, and the padding before it, under TensorFlow's SAME: the odd one goes to the end.
fn same(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let outputs = size.div_ceil(stride);
    let padding = ((outputs - 1) * stride + kernel).saturating_sub(size);
    (outputs, padding / 2)
}

/// Calls `visit(out, in)` for each output along an axis whose tap at `offset` of the kernel lies inside the input.
fn taps(
    size: usize,
    (kernel, stride): (usize, usize),
    offset: usize,
    mut visit: impl FnMut(usize, usize),
) {
    let (outputs, before) = same(size, kernel, stride);
    for out in 0..outputs {
        if let Some(input) = (out * stride + offset)
            .checked_sub(before)
            .filter(|&input| input < size)
        {
            visit(out, input);
        }
    }
}

struct Pass<'a> {
    checkpoint: &'a Checkpoint,
}

impl Pass<'_> {
    fn stages(&self, image: &Map) -> Vec<Map> {
        let spec = self.checkpoint.spec();
        let mut x = self.conv(image, "conv1", spec.stem());
        if spec.version() == Version::V1 {
            x = self.batch_norm(&x, "bn1").relu();
        }
        x = max_pool(&x);
        let mut stages: Vec<Map> = Vec::new();
        for block in spec.blocks() {
            x = match spec.version() {
                Version::V1 => self.block_v1(&x, &block),
                Version::V2 => self.block_v2(&x, &block),
            };
            stages.truncate(block.group);
            stages.push(x.clone());
        }
        if spec.version() == Version::V2 {
            stages[3] = self.batch_norm(&x, "norm").relu();
        }
        stages
    }

    fn block_v1(&self, input: &Map, block: &Block) -> Map {
        let name = block.name();
        let shortcut = match block.shortcut {
            Some(conv) => {
                let projected = self.conv(input, &format!("{name}.downsample.0"), conv);
                self.batch_norm(&projected, &format!("{name}.downsample.1"))
            }
            None => input.clone(),
        };
        let last = block.convs.len();
        let mut x = input.clone();
        for (i, &conv) in (1..).zip(&block.convs) {
            x = self.batch_norm(
                &self.conv(&x, &format!("{name}.conv{i}"), conv),
                &format!("{name}.bn{i}"),
            );
            if i < last {
                x = x.relu();
            }
        }
        x.add(&shortcut).relu()
    }

    /// The first shortcut of a group is taken after the first batch norm and ReLU.
    fn block_v2(&self, input: &Map, block: &Block) -> Map {
        let name = block.name();
        let mut shortcut = input.clone();
        let mut x = input.clone();
        for (i, &conv) in (1..).zip(&block.convs) {
            x = self.batch_norm(&x, &format!("{name}.bn{i}")).relu();
            if let (1, Some(projection)) = (i, block.shortcut) {
                shortcut = self.conv(&x, &format!("{name}.downsample.0"), projection);
            }
            x = self.conv(&x, &format!("{name}.conv{i}"), conv);
        }
        x.add(&shortcut)
    }

    fn batch_norm(&self, x: &Map, name: &str) -> Map {
        let vector = |field: &str| self.checkpoint.get(&format!("{name}.{field}")).values();
        let (scale, offset) = (vector("weight"), vector("bias"));
        let (mean, variance) = (vector("running_mean"), vector("running_var"));
        let values = (0..x.shape[0]).flat_map(|c| {
            let factor = f64::from(scale[c]) / (f64::from(variance[c]) + BATCH_NORM_EPSILON).sqrt();
            let (mean, offset) = (f64::from(mean[c]), f64::from(offset[c]));
            x.plane(c)
                .iter()
                .map(move |value| (value - mean) * factor + offset)
        });
        Map {
            shape: x.shape,
            values: values.collect(),
        }
    }

    /// Each output is the dot product of a kernel and the window of the input under it, written out in a row.
    fn conv(&self, x: &Map, name: &str, conv: Conv) -> Map {
        let kernel = self.checkpoint.get(&format!("{name}.weight")).values();
        let [_, height, width] = x.shape;
        let (rows, _) = same(height, conv.kernel, conv.stride);
        let (columns, _) = same(width, conv.kernel, conv.stride);
        let mut output = Map::filled([conv.outputs, rows, columns], 0.0);
        let length = conv.inputs * conv.kernel.pow(2);
        let windows = windows(x, conv, rows * columns);
        output
            .values
            .par_chunks_exact_mut(rows * columns)
            .zip(kernel.par_chunks_exact(length))
            .for_each(|(plane, kernel)| {
                let kernel: Vec<f64> = kernel.iter().copied().map(f64::from).collect();
                for (sum, window) in plane.iter_mut().zip(windows.chunks_exact(length)) {
                    *sum = dot(&kernel, window);
                }
            });
        output
    }
}

/// The window of the input under each output, in the order of a kernel's weights; zeros outside the input.
fn windows(x: &Map, conv: Conv, outputs: usize) -> Vec<f64> {
    let [channels, height, width] = x.shape;
    let (window, area) = ((conv.kernel, conv.stride), conv.kernel.pow(2));
    let (columns, _) = same(width, conv.kernel, conv.stride);
    let length = channels * area;
    let mut windows = vec![0.0; outputs * length];
    for (channel, tap) in (0..channels).flat_map(|c| (0..area).map(move |tap| (c, tap))) {
        let pixels = x.plane(channel);
        taps(height, window, tap / conv.kernel, |row, y| {
            taps(width, window, tap % conv.kernel, |column, x| {
                windows[(row * columns + column) * length + channel * area + tap] =
                    pixels[y * width + x];
            });
        });
    }
    windows
}

/// In eight sums, so that the additions need not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn max_pool(x: &Map) -> Map {
    let [channels, height, width] = x.shape;
    let (rows, columns) = (
        same(height, POOL.0, POOL.1).0,
        same(width, POOL.0, POOL.1).0,
    );
    let mut output = Map::filled([channels, rows, columns], f64::NEG_INFINITY);
    for (c, plane) in output.values.chunks_exact_mut(rows * columns).enumerate() {
        for (dy, dx) in (0..POOL.0).flat_map(|dy| (0..POOL.0).map(move |dx| (dy, dx))) {
            taps(height, POOL, dy, |row, y| {
                taps(width, POOL, dx, |column, at| {
                    let most = &mut plane[row * columns + column];
                    *most = most.max(x.plane(c)[y * width + at]);
                });
            });
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_one_at_the_end() {
        assert_eq!(same(224, 7, 2), (112, 2)); // five in all: two before, three after
        assert_eq!(same(225, 7, 2), (113, 3));
        assert_eq!(same(112, 3, 2), (56, 0));
        assert_eq!(same(7, 1, 2), (4, 0));
    }

    #[test]
    fn taps_outside_the_input_are_zero() {
        let mut seen = Vec::new();
        taps(4, (3, 2), 2, |out, input| seen.push((out, input)));
        assert_eq!(seen, [(0, 2)]);
    }
}
