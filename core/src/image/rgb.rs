//! The picture itself, and how other pixel layouts become it.

use ::image::ColorType;

use super::{Format, ImageError};

/// An 8-bit RGB image: rows from the top, pixels from the left, three bytes a pixel. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// Wraps `width * height * 3` bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let expected = u64::from(width) * u64::from(height);
        let expected = expected
            .checked_mul(3)
            .and_then(|bytes| usize::try_from(bytes).ok());
        if pixels.is_empty() || expected != Some(pixels.len()) {
            return Err(ImageError::Shape {
                width,
                height,
                bytes: pixels.len(),
            });
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Pixels in a row, at least 1.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows, at least 1.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, height × width × RGB.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels, without a copy.
    #[must_use]
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

impl std::fmt::Debug for RgbImage {
    /// Its size alone: megabytes of pixels help nobody, and images do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}

/// RGB bytes of samples in the layout `color` (16-bit ones in native byte order): alpha dropped, high bytes kept.
pub(super) fn to_rgb(
    format: Format,
    color: ColorType,
    mut samples: Vec<u8>,
) -> Result<Vec<u8>, ImageError> {
    match color {
        ColorType::L8 => Ok(repeat_grey(&samples, 1)),
        ColorType::La8 => Ok(repeat_grey(&samples, 2)),
        ColorType::Rgb8 => Ok(samples),
        ColorType::Rgba8 => {
            keep_bytes(&mut samples, 4, [0, 1, 2]);
            Ok(samples)
        }
        ColorType::L16 => Ok(repeat_grey(samples.get(HIGH..).unwrap_or_default(), 2)),
        ColorType::La16 => Ok(repeat_grey(samples.get(HIGH..).unwrap_or_default(), 4)),
        ColorType::Rgb16 => {
            keep_bytes(&mut samples, 6, [HIGH, 2 + HIGH, 4 + HIGH]);
            Ok(samples)
        }
        ColorType::Rgba16 => {
            keep_bytes(&mut samples, 8, [HIGH, 2 + HIGH, 4 + HIGH]);
            Ok(samples)
        }
        other => Err(unsupported(format, other)),
    }
}

/// Refuses samples that [`to_rgb`] does not know, before there is memory for any.
pub(super) fn known(format: Format, color: ColorType) -> Result<(), ImageError> {
    to_rgb(format, color, Vec::new()).map(drop)
}

fn unsupported(format: Format, color: ColorType) -> ImageError {
    ImageError::Unsupported {
        format,
        detail: format!("samples of type {color:?}"),
    }
}

/// Where the high byte of a native 16-bit sample lies.
const HIGH: usize = if cfg!(target_endian = "little") { 1 } else { 0 };

/// Repeats the first byte of every `stride` bytes.
fn repeat_grey(samples: &[u8], stride: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(samples.len().div_ceil(stride) * 3);
    rgb.extend(samples.iter().step_by(stride).flat_map(|&grey| [grey; 3]));
    rgb
}

/// Keeps the bytes at `offsets` of every `stride` bytes, in place: a second buffer would be a second picture's memory.
fn keep_bytes(samples: &mut Vec<u8>, stride: usize, offsets: [usize; 3]) {
    let pixels = samples.len() / stride;
    for pixel in 0..pixels {
        let kept = offsets.map(|offset| samples[pixel * stride + offset]);
        samples[pixel * 3..pixel * 3 + 3].copy_from_slice(&kept);
    }
    samples.truncate(pixels * 3);
    samples.shrink_to_fit();
}
