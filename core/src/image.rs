//! Encoded photographs in, RGB pixels out.
//!
//! [`decode`] is for what a client posts (the EXIF orientation is applied), [`decode_stored`] for data sets (pixels as
//! the file stores them, as upstream reads them). Both know a file by its first bytes, never by a name.
//!
//! Every format ends in the same 8-bit RGB, by the rules of TensorFlow's `decode_image(channels=3)`, which upstream's
//! input pipeline calls, and of Pillow's `convert("RGB")` where TensorFlow does not read the format:
//! - alpha is dropped, not composited: the colour under a transparent pixel is the colour that the file stores, and one
//!   that the file stores multiplied with alpha (TIFF) is divided by it;
//! - 16-bit samples keep their high byte;
//! - grey is repeated, palettes are expanded, CMYK is read in Adobe's inverted convention and becomes `(1-C)(1-K)`;
//! - of an animation, the first frame; ICC profiles are ignored.
//!
//! It refuses what it does not know, what exceeds [`ImageLimits`] (decided from the header, before pixel memory
//! exists), and files that end early: a half-grey picture would be an embedding of something that nobody sent.

mod directory;
mod error;
mod format;
mod gif;
mod jpeg;
mod orientation;
mod plain;
mod png;
mod rgb;
mod tiff;
mod unread;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::orientation::Orientation;

pub use self::error::{ImageError, ImageLimits};
pub use self::format::Format;
pub use self::rgb::RgbImage;

/// Stored pixels, and how the file says to turn them for display.
struct Decoded {
    image: RgbImage,
    orientation: Orientation,
}

/// Decodes an image as a viewer would show it: the EXIF orientation is applied.
pub fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    let Decoded { image, orientation } = decode_with_orientation(bytes, limits)?;
    Ok(orientation::apply(orientation, image))
}

/// Decodes an image as the file stores it: any EXIF orientation is ignored, as upstream does with its data sets.
pub fn decode_stored(bytes: &[u8], limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    decode_with_orientation(bytes, limits).map(|decoded| decoded.image)
}

/// Height and width of an image as the file stores it, by its header alone: no pixel is decoded, and nothing is
/// allocated for any. What its header shows to be no usable image is refused as [`decode`] refuses it.
pub fn stored_size(bytes: &[u8], limits: &ImageLimits) -> Result<[u32; 2], ImageError> {
    // Every decoder holds the header against the limits first. One that is allowed nothing says what there is.
    let nothing = ImageLimits {
        pixels: 0,
        ..*limits
    };
    let (width, height) = match decode_with_orientation(bytes, &nothing) {
        Err(ImageError::TooLarge { width, height, .. }) => (width, height),
        Err(error) => return Err(error),
        Ok(decoded) => (decoded.image.width(), decoded.image.height()),
    };
    let format = Format::of(bytes).ok_or_else(|| unknown(bytes))?;
    limits.check(format, width, height)?;
    Ok([height, width])
}

/// Most bytes that [`decode`] takes beside the file, of one of this height and width.
#[must_use]
pub fn decoding_memory(bytes: &[u8], [height, width]: [u32; 2]) -> u64 {
    let pixels = u64::from(height).saturating_mul(width.into());
    let each = Format::of(bytes).map_or(0, Format::decoding_bytes);
    pixels.saturating_mul(each)
}

fn decode_with_orientation(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(ImageError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.bytes,
        });
    }
    let format = Format::of(bytes).ok_or_else(|| unknown(bytes))?;
    // The decoders are other people's code on hostile bytes. A panic in one of them is this one image's failure.
    catch_unwind(AssertUnwindSafe(|| decode_format(format, bytes, limits))).unwrap_or_else(|_| {
        Err(ImageError::Corrupt {
            format,
            detail: "the decoder gave up on it".to_owned(),
        })
    })
}

fn unknown(bytes: &[u8]) -> ImageError {
    unread::name(bytes).map_or(ImageError::UnknownFormat, |name| ImageError::OtherFormat {
        name,
    })
}

fn decode_format(
    format: Format,
    bytes: &[u8],
    limits: &ImageLimits,
) -> Result<Decoded, ImageError> {
    match format {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Bmp => plain::decode_bmp(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
    }
}
