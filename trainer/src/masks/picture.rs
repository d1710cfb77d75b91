//! The bytes that go into a shard, and the pixels that are segmented: always those of the stored bytes.
//!
//! Upstream's builder knows one PNG and 22 CMYK JPEGs of ImageNet by name and re-encodes them as RGB JPEG of quality
//! 100; here every file that is not a grey or colour JPEG is, whatever its name.

use bytes::Bytes;
use detcon_core::image::{Format, ImageError, ImageLimits, RgbImage, decode_stored};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// An image, ready for a shard.
pub(super) struct Picture {
    /// A JPEG that upstream's reader takes.
    pub(super) jpeg: Bytes,
    /// What it shows, in stored pixels (EXIF orientation is ignored, as by upstream's reader).
    pub(super) pixels: RgbImage,
    /// What the file was, if it was re-encoded.
    pub(super) was: Option<&'static str>,
}

/// Why an image cannot go into a shard.
#[derive(Debug, thiserror::Error)]
pub(super) enum PictureError {
    #[error(transparent)]
    Decode(#[from] ImageError),
    #[error("it could not be encoded as JPEG: {0}")]
    Encode(#[from] image::ImageError),
}

/// As upstream.
const QUALITY: u8 = 100;

impl Picture {
    pub(super) fn read(bytes: Vec<u8>, limits: &ImageLimits) -> Result<Self, PictureError> {
        let decoded = decode_stored(&bytes, limits)?;
        let was = match Format::of(&bytes) {
            Some(Format::Jpeg) if components(&bytes) == Some(4) => Some("CMYK JPEG"),
            Some(Format::Jpeg) | None => None,
            Some(format) => Some(format.name()),
        };
        if was.is_none() {
            let (jpeg, pixels) = (bytes.into(), decoded);
            return Ok(Self { jpeg, pixels, was });
        }
        let jpeg = encode(&decoded)?;
        // The mask is that of what a reader will see.
        let pixels = decode_stored(&jpeg, limits)?;
        let jpeg = jpeg.into();
        Ok(Self { jpeg, pixels, was })
    }
}

fn encode(image: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
        image.pixels(),
        image.width(),
        image.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}

/// The number of colour components that a JPEG's frame header names.
fn components(jpeg: &[u8]) -> Option<u8> {
    let mut rest = jpeg.get(2..)?;
    loop {
        let (&marker, after) = rest.strip_prefix(&[0xff])?.split_first()?;
        match marker {
            // A fill byte, or a marker without a length.
            0xff => rest = rest.get(1..)?,
            0x01 | 0xd0..=0xd8 => rest = after,
            // Start of frame: length (2), precision, height (2), width (2), components.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return after.get(7).copied(),
            _ => {
                let length = u16::from_be_bytes(*after.first_chunk()?);
                rest = after.get(usize::from(length.max(2))..)?;
            }
        }
    }
}
