//! The reference forward pass: the network in plain loops over float64, slow and obvious.
//!
//! It is what a model directory's expected embedding comes from, so it shares nothing with the ONNX writer but
//! the parameter table. Batch norms are applied as they stand, not folded.
//!
//! Source: `ResNet.__call__`, `BlockV1.__call__`, `BlockV2.__call__` of dm-haiku 0.0.11 with TensorFlow's SAME
//! padding, and the input normalisation of the published `utils/dataset.py`; torchvision's `models/resnet.py` for
//! what PyTorch's networks do otherwise. Where padding goes is written here once more, for the same reason.

use rayon::prelude::*;

use crate::arch::{Block, ChannelOrder, Conv, Normalization, Padding, Version, Window};
use crate::checkpoint::{Checkpoint, Tensor};

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
    let spec = checkpoint.spec();
    let pass = Pass {
        checkpoint,
        padding: spec.padding(),
    };
    let mut passes: Vec<_> = images
        .chunks_exact(height * width * 3)
        .map(|image| pass.stages(&normalise(spec.normalization(), image, height, width)))
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
            .for_each(|value| *value = larger(*value, 0.0));
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

/// The larger of two, and NaN where either is: `f64::max` passes over it, and a damaged network would look whole.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Interleaved bytes to normalised planes, in the network's order of channels.
fn normalise(normalization: Normalization, image: &[u8], height: usize, width: usize) -> Map {
    let (mean, std) = (normalization.mean(), normalization.std());
    let plane = |c: usize| {
        let colour = match normalization.channels() {
            ChannelOrder::Rgb => c,
            ChannelOrder::Bgr => 2 - c,
        };
        let pixels = image.iter().skip(colour).step_by(3);
        pixels.map(move |&v| (f64::from(v) / normalization.divisor() - mean[c]) / std[c])
    };
    Map {
        shape: [3, height, width],
        values: (0..3).flat_map(plane).collect(),
    }
}

/// Outputs along an axis of `size`, and the padding before it: under SAME the odd row goes to the end, under symmetric
/// padding both ends have half a kernel.
fn padded(padding: Padding, size: usize, window: Window) -> (usize, usize) {
    let extent = (window.kernel - 1) * window.dilation;
    match padding {
        Padding::Same => {
            let outputs = size.div_ceil(window.stride);
            let all = ((outputs - 1) * window.stride + extent + 1).saturating_sub(size);
            (outputs, all / 2)
        }
        Padding::Symmetric => {
            let before = extent / 2;
            let rest = size + 2 * before - extent - 1;
            (rest / window.stride + 1, before)
        }
    }
}

/// Calls `visit(out, in)` for each output along an axis whose tap at `tap` of the kernel lies inside the input.
fn taps(
    padding: Padding,
    size: usize,
    window: Window,
    tap: usize,
    mut visit: impl FnMut(usize, usize),
) {
    let (outputs, before) = padded(padding, size, window);
    for out in 0..outputs {
        let place = out * window.stride + tap * window.dilation;
        if let Some(input) = place.checked_sub(before).filter(|&input| input < size) {
            visit(out, input);
        }
    }
}

struct Pass<'a> {
    checkpoint: &'a Checkpoint,
    padding: Padding,
}

impl Pass<'_> {
    fn stages(&self, image: &Map) -> Vec<Map> {
        let spec = self.checkpoint.spec();
        let mut x = self.conv(image, "conv1", spec.stem());
        if spec.version() == Version::V1 {
            x = self.batch_norm(&x, "bn1").relu();
        }
        x = self.max_pool(&x);
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
        let epsilon = self.checkpoint.spec().epsilon();
        let values = (0..x.shape[0]).flat_map(|c| {
            let factor = f64::from(scale[c]) / (f64::from(variance[c]) + epsilon).sqrt();
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
        let outputs = |size| padded(self.padding, size, conv.window()).0;
        let (rows, columns) = (outputs(height), outputs(width));
        let mut output = Map::filled([conv.outputs, rows, columns], 0.0);
        let length = conv.inputs * conv.kernel.pow(2);
        let windows = self.windows(x, conv, [rows, columns]);
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

    /// The window of the input under each output, in the order of a kernel's weights; zeros outside the input.
    fn windows(&self, x: &Map, conv: Conv, [rows, columns]: [usize; 2]) -> Vec<f64> {
        let [channels, height, width] = x.shape;
        let area = conv.kernel.pow(2);
        let length = channels * area;
        let mut windows = vec![0.0; rows * columns * length];
        for (channel, tap) in (0..channels).flat_map(|c| (0..area).map(move |tap| (c, tap))) {
            let pixels = x.plane(channel);
            let axis = |size, tap, visit: &mut dyn FnMut(usize, usize)| {
                taps(self.padding, size, conv.window(), tap, visit);
            };
            axis(height, tap / conv.kernel, &mut |row, y| {
                axis(width, tap % conv.kernel, &mut |column, x| {
                    windows[(row * columns + column) * length + channel * area + tap] =
                        pixels[y * width + x];
                });
            });
        }
        windows
    }

    fn max_pool(&self, x: &Map) -> Map {
        const POOL: Window = Window::STEM_POOL;
        let [channels, height, width] = x.shape;
        let outputs = |size| padded(self.padding, size, POOL).0;
        let (rows, columns) = (outputs(height), outputs(width));
        let mut output = Map::filled([channels, rows, columns], f64::NEG_INFINITY);
        for (c, plane) in output.values.chunks_exact_mut(rows * columns).enumerate() {
            for (dy, dx) in (0..POOL.kernel).flat_map(|dy| (0..POOL.kernel).map(move |dx| (dy, dx)))
            {
                taps(self.padding, height, POOL, dy, |row, y| {
                    taps(self.padding, width, POOL, dx, |column, at| {
                        let most = &mut plane[row * columns + column];
                        *most = larger(*most, x.plane(c)[y * width + at]);
                    });
                });
            }
        }
        output
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_one_at_the_end() {
        let same = |size, window| padded(Padding::Same, size, window);
        assert_eq!(same(224, Window::of(7, 2, 1)), (112, 2)); // five in all: two before, three after
        assert_eq!(same(225, Window::of(7, 2, 1)), (113, 3));
        assert_eq!(same(112, Window::of(3, 2, 1)), (56, 0));
        assert_eq!(same(7, Window::of(1, 2, 1)), (4, 0));
    }

    #[test]
    fn symmetric_padding_puts_half_a_kernel_before() {
        let symmetric = |size, window| padded(Padding::Symmetric, size, window);
        assert_eq!(symmetric(224, Window::of(7, 2, 1)), (112, 3));
        assert_eq!(symmetric(225, Window::of(7, 2, 1)), (113, 3));
        assert_eq!(symmetric(14, Window::of(3, 1, 2)), (14, 2));
    }

    #[test]
    fn taps_outside_the_input_are_zero() {
        let mut seen = Vec::new();
        let visit = |out, input| seen.push((out, input));
        taps(Padding::Same, 4, Window::of(3, 2, 1), 2, visit);
        assert_eq!(seen, [(0, 2)]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let map = Map::filled([1, 1, 1], f64::NAN).relu();
        assert!(map.values[0].is_nan());
        assert!(larger(f64::NEG_INFINITY, f64::NAN).is_nan());
    }
}
