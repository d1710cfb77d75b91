//! What networks compute with: convolutions and pools under the network's padding, and batch norms that keep haiku's moving
//! averages.

use detcon_core::arch::{BatchNormField, Conv, Padding, ResNetSpec, Window};
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
    padding: Padding,
    /// Of the backbone's batch norms.
    epsilon: f64,
    weights: &'a Weights,
    averages: &'a mut Averages,
    decay: f64,
    group: Option<&'a Group>,
    mode: Mode,
}

impl<'a> Pass<'a> {
    /// With a `group`, batch norms normalise by the batches of all its ranks.
    pub(super) const fn new(
        spec: ResNetSpec,
        (weights, averages): (&'a Weights, &'a mut Averages),
        decay: f64,
        group: Option<&'a Group>,
        mode: Mode,
    ) -> Self {
        Self {
            padding: spec.padding(),
            epsilon: spec.epsilon(),
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
        let (padded, padding) = match Sides::of(self.padding, input, conv.window()) {
            Sides::Even(padding) => (None, padding),
            Sides::Uneven(sides) => (Some(input.pad(sides, "constant", 0.0)), [0, 0]),
        };
        let input = padded.as_ref().unwrap_or(input);
        let dilation = [axis(conv.dilation); 2];
        input.conv2d(weight, None::<Tensor>, [stride; 2], padding, dilation, 1)
    }

    /// The backbone's batch norm `name` over the second axis of `[N, C, H, W]`.
    pub(super) fn batch_norm(&mut self, name: &str, input: &Tensor) -> Tensor {
        self.batch_norm_with(name, input, self.epsilon)
    }

    /// The batch norm `name` over the second axis of `[N, C]` or `[N, C, H, W]`.
    pub(super) fn batch_norm_with(&mut self, name: &str, input: &Tensor, epsilon: f64) -> Tensor {
        let field = |field: BatchNormField| format!("{name}.{}", field.torch_name());
        let scale = self.weight(&field(BatchNormField::Scale));
        let offset = self.weight(&field(BatchNormField::Offset));
        let names = [field(BatchNormField::Mean), field(BatchNormField::Variance)];
        match self.mode {
            Mode::Train => {
                let [output, mean, variance] = match self.group {
                    Some(group) => group.batch_norm(input, [scale, offset], epsilon),
                    None => batch_norm(input, [scale, offset], epsilon),
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
                    epsilon,
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
fn batch_norm(input: &Tensor, [scale, offset]: [&Tensor; 2], epsilon: f64) -> [Tensor; 3] {
    let none = None::<&Tensor>;
    let (output, mean, inverse) =
        input.native_batch_norm(Some(scale), Some(offset), none, none, true, 0.0, epsilon);
    let variance = inverse.detach().pow_tensor_scalar(-2.0) - epsilon;
    [output, mean, variance]
}

/// A max pool: padding never wins.
pub(super) fn max_pool(input: &Tensor, padding: Padding, window: Window) -> Tensor {
    let padded = match Sides::of(padding, input, window) {
        Sides::Even([0, 0]) => input.shallow_clone(),
        Sides::Even([vertical, horizontal]) => {
            let sides = [horizontal, horizontal, vertical, vertical];
            input.pad(sides, "constant", f64::NEG_INFINITY)
        }
        Sides::Uneven(sides) => input.pad(sides, "constant", f64::NEG_INFINITY),
    };
    let (kernel, stride) = (axis(window.kernel), axis(window.stride));
    padded.max_pool2d([kernel; 2], [stride; 2], [0, 0], [1, 1], false)
}

/// How much an input is padded.
enum Sides {
    /// The same before and after: rows, columns.
    Even([i64; 2]),
    /// Left, right, top, bottom.
    Uneven([i64; 4]),
}

impl Sides {
    fn of(padding: Padding, input: &Tensor, window: Window) -> Self {
        let (_, _, height, width) = input.size4().expect("images have four axes");
        let sides = |size: i64| {
            let size = usize::try_from(size).expect("axes have lengths");
            padding.sides(size, window).map(axis)
        };
        let ([top, bottom], [left, right]) = (sides(height), sides(width));
        if top == bottom && left == right {
            Self::Even([top, left])
        } else {
            Self::Uneven([left, right, top, bottom])
        }
    }
}
