//! TIFF. The first directory is looked at here first: JPEG inside TIFF is refused, because its own header could claim
//! a picture far larger than the directory does, and the decoder would make room for it.

use std::io::Cursor;

use ::image::ColorType;
use ::image::codecs::tiff::TiffDecoder;

use super::directory::Directory;
use super::{Decoded, Format, ImageError, ImageLimits, orientation, plain};

const FORMAT: Format = Format::Tiff;

/// The tag of the compression in TIFF 6.0.
const COMPRESSION: u16 = 259;

/// The tag that says what samples beyond the colours are, and its value for alpha that colours are multiplied with.
const EXTRA_SAMPLES: u16 = 338;
const ASSOCIATED_ALPHA: u32 = 1;

/// Values of `Compression`: JPEG as TIFF 6.0 had it, and as it is done since.
const JPEG: [u32; 2] = [6, 7];

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let directory = Directory::first(bytes).ok_or(ImageError::Truncated { format: FORMAT })?;
    if directory
        .number(COMPRESSION)
        .is_some_and(|compression| JPEG.contains(&compression))
    {
        let detail = "JPEG data inside TIFF".to_owned();
        return Err(ImageError::Unsupported {
            format: FORMAT,
            detail,
        });
    }
    let decoder =
        TiffDecoder::new(Cursor::new(bytes)).map_err(|error| plain::refusal(FORMAT, error))?;
    let associated = directory.number(EXTRA_SAMPLES) == Some(ASSOCIATED_ALPHA);
    let image = plain::read_with(FORMAT, decoder, limits, |color, samples| {
        if associated {
            divide(color, samples)
        } else {
            Ok(())
        }
    })?;
    Ok(Decoded {
        image,
        orientation: orientation::of(&directory),
    })
}

/// Divides colours by the alpha that they were multiplied with, as Pillow does (`Convert.c`, `rgba2rgbA` undone by
/// `rgbA2rgba`): rounded down, and left where nothing is to be seen.
fn divide(color: ColorType, samples: &mut [u8]) -> Result<(), ImageError> {
    match color {
        ColorType::Rgba8 => {
            for [colors @ .., alpha] in samples.as_chunks_mut::<4>().0 {
                for color in colors.iter_mut().filter(|_| *alpha > 0) {
                    let divided = u16::from(*color) * 255 / u16::from(*alpha);
                    *color = u8::try_from(divided).unwrap_or(u8::MAX);
                }
            }
            Ok(())
        }
        ColorType::L8 | ColorType::L16 | ColorType::Rgb8 | ColorType::Rgb16 => Ok(()),
        _ => Err(ImageError::Unsupported {
            format: FORMAT,
            detail: format!("colours that are multiplied with alpha in {color:?}"),
        }),
    }
}
