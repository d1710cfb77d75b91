//! What a window sees beyond the edge of its input: the one rule of where padding goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::choice;

choice! {
    /// Where padding goes.
    pub enum Padding {
        /// TensorFlow's SAME: as much as makes ⌈size ÷ stride⌉ outputs, the odd row and column at the bottom and right.
        Same = "same",
        /// PyTorch's: half of the kernel on every side, whatever the size (`padding=(k-1)//2·dilation` in torchvision's
        /// `models/resnet.py`).
        Symmetric = "symmetric",
    }
}

/// A square window that slides over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Step between the taps of the kernel.
    pub dilation: usize,
}

impl Window {
    /// A window for tests.
    #[cfg(test)]
    pub(crate) const fn of(kernel: usize, stride: usize, dilation: usize) -> Self {
        Self {
            kernel,
            stride,
            dilation,
        }
    }

    /// The max pool after the stem: `hk.MaxPool(window_shape=(1, 3, 3, 1), strides=(1, 2, 2, 1))` of dm-haiku's
    /// `nets/resnet.py`, `MaxPool2d(kernel_size=3, stride=2, padding=1)` of torchvision's `models/resnet.py`.
    pub const STEM_POOL: Self = Self {
        kernel: 3,
        stride: 2,
        dilation: 1,
    };

    /// Rows from the first tap to the last, both counted.
    #[must_use]
    pub const fn extent(self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Outputs along an axis of `size`, the same under either padding.
    #[must_use]
    pub const fn outputs(self, size: usize) -> usize {
        size.div_ceil(self.stride)
    }
}

impl Padding {
    /// Rows before and after an axis of `size` under a window of an odd kernel.
    #[must_use]
    pub const fn sides(self, size: usize, window: Window) -> [usize; 2] {
        match self {
            Self::Symmetric => [window.extent() / 2; 2],
            Self::Same => {
                let seen = (window.outputs(size) - 1) * window.stride + window.extent();
                let all = seen.saturating_sub(size);
                [all / 2, all - all / 2]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_one_at_the_end() {
        assert_eq!(Padding::Same.sides(224, Window::of(7, 2, 1)), [2, 3]);
        assert_eq!(Padding::Same.sides(225, Window::of(7, 2, 1)), [3, 3]);
        assert_eq!(Padding::Same.sides(112, Window::STEM_POOL), [0, 1]);
        assert_eq!(Padding::Same.sides(7, Window::of(1, 2, 1)), [0, 0]);
        assert_eq!(Padding::Same.sides(14, Window::of(3, 1, 2)), [2, 2]);
    }

    #[test]
    fn symmetric_padding_is_the_same_at_every_size_and_gives_as_many_outputs() {
        for size in 1..=300 {
            for window in [
                Window::of(7, 2, 1),
                Window::of(3, 2, 1),
                Window::of(3, 1, 4),
                Window::of(1, 2, 1),
            ] {
                let [before, after] = Padding::Symmetric.sides(size, window);
                assert_eq!([before, after], Padding::Symmetric.sides(1, window));
                let outputs = (size + before + after - window.extent()) / window.stride + 1;
                assert_eq!(outputs, window.outputs(size), "{size} {window:?}");
            }
        }
    }
}
