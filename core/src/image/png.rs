//! PNG, read with the `png` crate itself: text and colour profiles, which may unpack to gigabytes, are never unpacked,
//! and 16-bit samples lose their low byte row by row.

use std::io::Cursor;

use ::image::ColorType;
use ::png::{BitDepth, Decoder, Reader, Transformations};

use super::orientation::{self, Orientation};
use super::rgb::to_rgb;
use super::{Decoded, Format, ImageError, ImageLimits, RgbImage};

const FORMAT: Format = Format::Png;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let (width, height) = decoder
        .read_header_info()
        .map_err(|error| refusal(&error))?
        .size();
    limits.check(FORMAT, width, height)?;
    let mut reader = decoder.read_info().map_err(|error| refusal(&error))?;
    let color = color(&reader)?;
    let size = reader.output_buffer_size().ok_or(ImageError::TooLarge {
        width,
        height,
        limits: *limits,
    })?;
    let mut samples = vec![0; size];
    reader
        .next_frame(&mut samples)
        .map_err(|error| refusal(&error))?;
    let image = RgbImage::new(width, height, to_rgb(FORMAT, color, samples)?)?;
    Ok(Decoded {
        image,
        orientation: orientation(&mut reader),
    })
}

fn refusal(error: &::png::DecodingError) -> ImageError {
    match error {
        ::png::DecodingError::IoError(error) => ImageError::from_decoder(FORMAT, error),
        other => ImageError::from_decoder(FORMAT, other),
    }
}

fn color(reader: &Reader<Cursor<&[u8]>>) -> Result<ColorType, ImageError> {
    match reader.output_color_type() {
        (::png::ColorType::Grayscale, BitDepth::Eight) => Ok(ColorType::L8),
        (::png::ColorType::GrayscaleAlpha, BitDepth::Eight) => Ok(ColorType::La8),
        (::png::ColorType::Rgb, BitDepth::Eight) => Ok(ColorType::Rgb8),
        (::png::ColorType::Rgba, BitDepth::Eight) => Ok(ColorType::Rgba8),
        (color, depth) => Err(ImageError::Unsupported {
            format: FORMAT,
            detail: format!("{color:?} at {depth:?}"),
        }),
    }
}

/// The orientation in `eXIf`, which may also follow the picture. What is wrong there spoils no picture.
fn orientation(reader: &mut Reader<Cursor<&[u8]>>) -> Orientation {
    if reader.info().exif_metadata.is_none() && reader.info().animation_control.is_none() {
        let _ = reader.finish();
    }
    let exif = reader.info().exif_metadata.as_deref();
    exif.map_or(Orientation::NoTransforms, orientation::from_exif)
}
