//! Decoders of the `image` crate: BMP whole, and the last step of TIFF and WebP.

use std::io::Cursor;

use ::image::codecs::bmp::BmpDecoder;
use ::image::{ColorType, ImageDecoder, Limits};

use super::orientation::Orientation;
use super::rgb::{known, to_rgb};
use super::{Decoded, Format, ImageError, ImageLimits, RgbImage};

/// What a decoder may take beside its output and as much again: tables, palettes, one compressed strip.
const WORKSPACE: u64 = 4 << 20;

pub(super) fn decode_bmp(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let decoder =
        BmpDecoder::new(Cursor::new(bytes)).map_err(|error| refusal(Format::Bmp, error))?;
    Ok(Decoded {
        image: read(Format::Bmp, decoder, limits)?,
        orientation: Orientation::NoTransforms,
    })
}

/// Runs a decoder that has read its header and nothing more.
pub(super) fn read(
    format: Format,
    decoder: impl ImageDecoder,
    limits: &ImageLimits,
) -> Result<RgbImage, ImageError> {
    read_with(format, decoder, limits, |_, _| Ok(()))
}

/// The same, with the samples changed before they become RGB.
pub(super) fn read_with(
    format: Format,
    mut decoder: impl ImageDecoder,
    limits: &ImageLimits,
    change: impl FnOnce(ColorType, &mut [u8]) -> Result<(), ImageError>,
) -> Result<RgbImage, ImageError> {
    let (width, height) = decoder.dimensions();
    limits.check(format, width, height)?;
    let too_large = ImageError::TooLarge {
        width,
        height,
        limits: *limits,
    };
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| too_large)?;
    let mut allowed = Limits::no_limits();
    allowed.max_alloc = Some(
        decoder
            .total_bytes()
            .saturating_mul(2)
            .saturating_add(WORKSPACE),
    );
    decoder
        .set_limits(allowed)
        .map_err(|error| refusal(format, error))?;
    let color = decoder.color_type();
    known(format, color)?;
    let mut samples = vec![0; size];
    decoder
        .read_image(&mut samples)
        .map_err(|error| refusal(format, error))?;
    change(color, &mut samples)?;
    RgbImage::new(width, height, to_rgb(format, color, samples)?)
}

pub(super) fn refusal(format: Format, error: ::image::ImageError) -> ImageError {
    match error {
        ::image::ImageError::Unsupported(error) => ImageError::Unsupported {
            format,
            detail: error.to_string(),
        },
        ::image::ImageError::Limits(_) => ImageError::Corrupt {
            format,
            detail: "its parts ask for more memory than its size needs".to_owned(),
        },
        ::image::ImageError::IoError(error) => ImageError::from_decoder(format, &error),
        other => ImageError::from_decoder(format, &other),
    }
}
