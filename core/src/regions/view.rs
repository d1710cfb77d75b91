//! How an image became a network's input: the window that was cut out, the size that it was brought to, and the
//! pixels of a cell. It refuses sizes of zero and above 32768 a side.

use std::num::NonZeroU32;

use super::RegionError;
use crate::image::RgbImage;
use crate::preprocess::{Preprocess, Window};

/// Where the cells of a network's feature grid lie in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    window: Window,
    height: u32,
    width: u32,
    stride: NonZeroU32,
}

impl View {
    /// Longest side of an input in pixels.
    pub const MAX_SIDE: u32 = 32_768;

    /// `window` of the image, resized to `height * width`, with cells of `stride` pixels.
    pub fn new(
        window: Window,
        height: u32,
        width: u32,
        stride: NonZeroU32,
    ) -> Result<Self, RegionError> {
        let sides = 1..=Self::MAX_SIDE;
        if !(sides.contains(&height) && sides.contains(&width)) {
            return Err(RegionError::InputSize { height, width });
        }
        Ok(Self {
            window,
            height,
            width,
            stride,
        })
    }

    /// The whole image at its own size.
    pub fn whole(image: &RgbImage, stride: NonZeroU32) -> Result<Self, RegionError> {
        let (height, width) = (image.height(), image.width());
        let window = Window {
            offset_y: 0,
            offset_x: 0,
            height,
            width,
        };
        Self::new(window, height, width, stride)
    }

    /// What a model's preprocessing makes of an image of this height and width.
    pub fn preprocessed(
        preprocess: &Preprocess,
        height: u32,
        width: u32,
        stride: NonZeroU32,
    ) -> Result<Self, RegionError> {
        let side = preprocess.size();
        Self::new(preprocess.window(height, width), side, side, stride)
    }

    /// The part of the image that is used.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }

    /// Rows of the network's input.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Columns of the network's input.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Pixels of the input along a cell's side.
    #[must_use]
    pub const fn stride(&self) -> NonZeroU32 {
        self.stride
    }

    /// Rows and columns of the feature grid: the last cells may be smaller.
    #[must_use]
    pub const fn grid(&self) -> [u32; 2] {
        let stride = self.stride.get();
        [self.height.div_ceil(stride), self.width.div_ceil(stride)]
    }
}
