//! Upstream's evaluation preprocessing: the central square of an image, resized with bicubic interpolation to the
//! network's input (`utils/dataset.py` of the published code). It ends in 8-bit RGB; scaling to [0, 1] and
//! normalisation belong to the model's graph.
//!
//! The crop keeps `size / (size + padding)` of the shorter side: with upstream's padding of 32, 224 of 256.

mod bicubic;

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::bicubic::Scratch;
use crate::image::RgbImage;

/// How an image becomes a network's input. A model's manifest carries it; unknown fields and values are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    method: Method,
    size: InputSize,
    /// Pixels that the crop leaves around an image whose shorter side is `size + crop_padding`.
    crop_padding: u32,
    interpolation: Interpolation,
}

/// Which part of the image is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// The square in the middle.
    CenterCrop,
}

/// How pixels are interpolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Interpolation {
    /// TensorFlow's `ResizeMethod.BICUBIC` without antialiasing.
    Bicubic,
}

/// Side of the square input in pixels, from 1 to 4096: a manifest must not be able to ask for any amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(extend("minimum" = 1, "maximum" = InputSize::MAX))]
struct InputSize(NonZeroU32);

impl InputSize {
    const MAX: u32 = 4096;
}

impl TryFrom<u32> for InputSize {
    type Error = PreprocessError;

    fn try_from(size: u32) -> Result<Self, Self::Error> {
        let size = NonZeroU32::new(size).filter(|size| size.get() <= Self::MAX);
        size.map(Self)
            .ok_or(PreprocessError::Size { max: Self::MAX })
    }
}

/// A window of an image at another size, as upstream resizes its crops. It is cut where it leaves the image, and
/// flipped before it is resized.
///
/// # Panics
/// Where the window or the size is empty.
#[must_use]
pub fn resize_window(
    image: &RgbImage,
    window: Window,
    flip: Flip,
    [height, width]: [u32; 2],
    scratch: &mut Scratch,
) -> RgbImage {
    let (rows, columns) = (image.height(), image.width());
    let window = Window {
        height: window.height.min(rows.saturating_sub(window.offset_y)),
        width: window.width.min(columns.saturating_sub(window.offset_x)),
        ..window
    };
    assert!(
        window.height > 0 && window.width > 0,
        "a window shows something"
    );
    let mut output = vec![0; height as usize * width as usize * 3];
    let shown = Shown { window, flip };
    bicubic::resize(image, shown, &mut output, width as usize, scratch);
    RgbImage::new(width, height, output).expect("height times width pixels")
}

/// Whether a view is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// It is not.
    None,
    /// Left becomes right.
    LeftRight,
}

/// What is resized of an image.
#[derive(Clone, Copy, Debug)]
struct Shown {
    window: Window,
    flip: Flip,
}

impl From<Window> for Shown {
    fn from(window: Window) -> Self {
        let flip = Flip::None;
        Self { window, flip }
    }
}

/// Why preprocessing is impossible as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessError {
    /// An input size of zero, or one beyond reason.
    #[error("The network's input must be 1 to {max} pixels a side.")]
    Size {
        /// The largest side.
        max: u32,
    },
    /// An output buffer of another size than [`Preprocess::output_len`].
    #[error("The output holds {actual} bytes, and a preprocessed image has {expected}.")]
    OutputLength {
        /// Bytes of a preprocessed image.
        expected: usize,
        /// Bytes of the buffer.
        actual: usize,
    },
}

/// The part of an image that is used, in pixels. It is never empty and never leaves the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows above it.
    pub offset_y: u32,
    /// Columns left of it.
    pub offset_x: u32,
    /// Its rows.
    pub height: u32,
    /// Its columns.
    pub width: u32,
}

impl Preprocess {
    /// Upstream's `CROP_PADDING`.
    const CROP_PADDING: u32 = 32;

    /// Most times that the longer side of [`Self::whole`] is the shorter one: what bounds its memory.
    pub const MAX_ELONGATION: u32 = 16;

    /// Upstream's preprocessing for a network whose input is `size` pixels a side, 1 to 4096.
    pub fn center_crop(size: u32) -> Result<Self, PreprocessError> {
        Ok(Self {
            method: Method::CenterCrop,
            size: size.try_into()?,
            crop_padding: Self::CROP_PADDING,
            interpolation: Interpolation::Bicubic,
        })
    }

    /// Side of the network's square input in pixels.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size.0.get()
    }

    /// Bytes of a preprocessed image, height × width × RGB.
    #[must_use]
    pub const fn output_len(&self) -> usize {
        let side = self.size() as usize;
        side * side * 3
    }

    /// The part of an image of this height and width that is used.
    ///
    /// The fraction is rounded to 32 bits before it is multiplied and the product is cut, as TensorFlow does.
    /// Upstream fails on an image so small that nothing is left; here one pixel is.
    #[must_use]
    pub fn window(&self, height: u32, width: u32) -> Window {
        let Method::CenterCrop = self.method;
        let input = f64::from(self.size());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "TensorFlow computes the fraction in 32 bits"
        )]
        let fraction = (input / (input + f64::from(self.crop_padding))) as f32;
        let shorter = height.min(width);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "TensorFlow casts so"
        )]
        let side = (fraction * shorter as f32) as u32;
        let side = side.clamp(1, shorter.max(1));
        let offset = |extent: u32| extent.saturating_sub(side).div_ceil(2);
        Window {
            offset_y: offset(height),
            offset_x: offset(width),
            height: side,
            width: side,
        }
    }

    /// The network's input for an image.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the output's size is right by construction"
    )]
    #[must_use]
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        let mut output = vec![0; self.output_len()];
        self.fill(image, &mut output, &mut Scratch::default());
        RgbImage::new(self.size(), self.size(), output).expect("output_len bytes make the square")
    }

    /// Writes the network's input for an image to `output`, a place in a batch of [`Self::output_len`] bytes.
    pub fn apply_into(
        &self,
        image: &RgbImage,
        output: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(), PreprocessError> {
        let (expected, actual) = (self.output_len(), output.len());
        if actual != expected {
            return Err(PreprocessError::OutputLength { expected, actual });
        }
        self.fill(image, output, scratch);
        Ok(())
    }

    #[expect(
        clippy::missing_panics_doc,
        reason = "the output's size is right by construction"
    )]
    /// The whole image with its shorter side at `size` and its shape kept, for features of all of it.
    ///
    /// Upstream has no such view; the resize is the one that it evaluates with. The longer side is rounded, and cut
    /// where it is more than [`Self::MAX_ELONGATION`] times the shorter one.
    #[must_use]
    pub fn whole(&self, image: &RgbImage, scratch: &mut Scratch) -> RgbImage {
        let (height, width) = (image.height(), image.width());
        let [rows, columns] = self.whole_size(height, width);
        let window = Window {
            offset_y: 0,
            offset_x: 0,
            height,
            width,
        };
        let mut output = vec![0; rows as usize * columns as usize * 3];
        match self.interpolation {
            Interpolation::Bicubic => {
                bicubic::resize(image, window.into(), &mut output, columns as usize, scratch);
            }
        }
        RgbImage::new(columns, rows, output).expect("rows times columns pixels")
    }

    /// Height and width that [`Self::whole`] gives an image of this height and width.
    #[must_use]
    pub fn whole_size(&self, height: u32, width: u32) -> [u32; 2] {
        let shorter = u64::from(height.min(width)).max(1);
        [height, width].map(|side| {
            let rounded = (2 * u64::from(side) * u64::from(self.size()) + shorter) / (2 * shorter);
            let longest = self.size().saturating_mul(Self::MAX_ELONGATION);
            u32::try_from(rounded).unwrap_or(u32::MAX).min(longest)
        })
    }

    fn fill(self, image: &RgbImage, output: &mut [u8], scratch: &mut Scratch) {
        let window = self.window(image.height(), image.width());
        match self.interpolation {
            Interpolation::Bicubic => {
                bicubic::resize(image, window.into(), output, self.size() as usize, scratch);
            }
        }
    }
}
