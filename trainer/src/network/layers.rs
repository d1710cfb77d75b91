//! What networks compute with: convolutions and pools under TensorFlow's SAME padding, and batch norms that keep
//! haiku's moving averages.

use detcon_core::arch::{BATCH_NORM_EPSILON, BatchNormField, Conv};
use tch::Tensor;

use super::{Averages, MovingAverage, Weights};
use crate::distributed::Group;
use crate::tensor::axis;

/// How batch norms normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the batch, which also moves the averages.
    Train,
    /// By the averages.
    Evaluate,
}

/// One pass of a batch through a network.
#[derive(Debug)]
pub struct Pass<'a> {
    weights: &'a Weights,
    averages: &'a mut Averages,
    decay: f64,
    group: Option<&'a Group>,
    mode: Mode,
}

impl<'a> Pass<'a> {
    /// With a `group`, batch norms normalise by the batches of all its ranks.
    pub(super) const fn new(
        weights: &'a Weights,
        averages: &'a mut Averages,
        decay: f64,
        group: Option<&'a Group>,
        mode: Mode,
    ) -> Self {
        Self {
            weights,
            averages,
            decay,
            group,
            mode,
        }
    }

    /// A weight of the table.
    pub(super) fn weight(&self, name: &str) -> &'a Tensor {
        self.weights
            .get(name)
            .unwrap_or_else(|| panic!("the network has no {name}"))
    }

    /// A convolution without bias: `[N, inputs, H, W]` → `[N, outputs, ⌈H/stride⌉, ⌈W/stride⌉]`.
    pub(super) fn conv(&self, name: &str, conv: Conv, input: &Tensor) -> Tensor {
        let weight = self.weight(&format!("{name}.weight"));
        let stride = axis(conv.stride);
        let (padded, padding) = match SamePadding::of(input, conv.kernel, conv.stride) {
            SamePadding::Even(padding) => (None, padding),
            SamePadding::Uneven(sides) => (Some(input.pad(sides, "constant", 0.0)), [0, 0]),
        };
        let input = padded.as_ref().unwrap_or(input);
        input.conv2d(weight, None::<Tensor>, [stride; 2], padding, [1, 1], 1)
    }

    /// The batch norm `name` over the second axis of `[N, C]` or `[N, C, H, W]`.
    pub(super) fn batch_norm(&mut self, name: &str, input: &Tensor) -> Tensor {
        let field = |field: BatchNormField| format!("{name}.{}", field.torch_name());
        let scale = self.weight(&field(BatchNormField::Scale));
        let offset = self.weight(&field(BatchNormField::Offset));
        let names = [field(BatchNormField::Mean), field(BatchNormField::Variance)];
        match self.mode {
            Mode::Train => {
                let [output, mean, variance] = match self.group {
                    Some(group) => group.batch_norm(input, [scale, offset]),
                    None => batch_norm(input, [scale, offset]),
                };
                let decay = self.decay;
                for (name, value) in names.iter().zip([mean, variance]) {
                    self.average(name).update(&value, decay);
                }
                output
            }
            Mode::Evaluate => {
                let decay = self.decay;
                let [mean, variance] = names.map(|name| self.average(&name).value(decay));
                let (output, _, _) = input.native_batch_norm(
                    Some(scale),
                    Some(offset),
                    Some(&mean),
                    Some(&variance),
                    false,
                    0.0,
                    BATCH_NORM_EPSILON,
                );
                output
            }
        }
    }

    fn average(&mut self, name: &str) -> &mut MovingAverage {
        self.averages
            .get_mut(name)
            .unwrap_or_else(|| panic!("the network has no {name}"))
    }
}

/// A batch norm by the batch: output, mean and variance.
fn batch_norm(input: &Tensor, [scale, offset]: [&Tensor; 2]) -> [Tensor; 3] {
    let none = None::<&Tensor>;
    let (output, mean, inverse) = input.native_batch_norm(
        Some(scale),
        Some(offset),
        none,
        none,
        true,
        0.0,
        BATCH_NORM_EPSILON,
    );
    let variance = inverse.detach().pow_tensor_scalar(-2.0) - BATCH_NORM_EPSILON;
    [output, mean, variance]
}

/// A max pool: padding never wins.
pub(super) fn max_pool(input: &Tensor, kernel: usize, stride: usize) -> Tensor {
    let padded = match SamePadding::of(input, kernel, stride) {
        SamePadding::Even([0, 0]) => input.shallow_clone(),
        SamePadding::Even([vertical, horizontal]) => {
            let sides = [horizontal, horizontal, vertical, vertical];
            input.pad(sides, "constant", f64::NEG_INFINITY)
        }
        SamePadding::Uneven(sides) => input.pad(sides, "constant", f64::NEG_INFINITY),
    };
    padded.max_pool2d([axis(kernel); 2], [axis(stride); 2], [0, 0], [1, 1], false)
}

/// TensorFlow's SAME padding: the odd row and column go to the bottom and the right.
enum SamePadding {
    /// The same before and after: rows, columns.
    Even([i64; 2]),
    /// Left, right, top, bottom.
    Uneven([i64; 4]),
}

impl SamePadding {
    fn of(input: &Tensor, kernel: usize, stride: usize) -> Self {
        let (_, _, height, width) = input.size4().expect("images have four axes");
        let (kernel, stride) = (axis(kernel), axis(stride));
        let sides = |size: i64| {
            let outputs = (size + stride - 1) / stride;
            let padding = ((outputs - 1) * stride + kernel - size).max(0);
            [padding / 2, padding - padding / 2]
        };
        let ([top, bottom], [left, right]) = (sides(height), sides(width));
        if top == bottom && left == right {
            Self::Even([top, left])
        } else {
            Self::Uneven([left, right, top, bottom])
        }
    }
}
