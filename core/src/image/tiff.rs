//! TIFF. The first directory is looked at here first: JPEG inside TIFF is refused, because its own header could claim
//! a picture far larger than the directory does, and the decoder would make room for it.

use std::io::Cursor;

use ::image::codecs::tiff::TiffDecoder;

use super::orientation::Orientation;
use super::{Decoded, Format, ImageError, ImageLimits, plain};

const FORMAT: Format = Format::Tiff;

/// Directory entries, by their tags in TIFF 6.0.
const COMPRESSION: u16 = 259;
const ORIENTATION: u16 = 274;

/// Values of `Compression`: JPEG as TIFF 6.0 had it, and as it is done since.
const JPEG: [u16; 2] = [6, 7];

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let directory = Directory::first(bytes).ok_or(ImageError::Truncated { format: FORMAT })?;
    if directory
        .value(COMPRESSION)
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
    let image = plain::read(FORMAT, decoder, limits)?;
    Ok(Decoded {
        image,
        orientation: directory.orientation(),
    })
}

/// The entries of the first directory, 12 bytes each.
struct Directory<'a> {
    entries: &'a [u8],
    read_u16: fn([u8; 2]) -> u16,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.starts_with(b"MM");
        let read_u16 = if big_endian {
            u16::from_be_bytes
        } else {
            u16::from_le_bytes
        };
        let read_u32 = if big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        let start = usize::try_from(read_u32(bytes.get(4..8)?.try_into().ok()?)).ok()?;
        let (count, rest) = bytes.get(start..)?.split_first_chunk()?;
        let entries = rest.get(..usize::from(read_u16(*count)) * 12)?;
        Some(Self { entries, read_u16 })
    }

    /// The value of a tag of one SHORT, which sits in its entry: tag, type, count, value.
    fn value(&self, tag: u16) -> Option<u16> {
        let (entries, _) = self.entries.as_chunks::<12>();
        let entry = entries
            .iter()
            .find(|entry| (self.read_u16)([entry[0], entry[1]]) == tag)?;
        Some((self.read_u16)([entry[8], entry[9]]))
    }

    fn orientation(&self) -> Orientation {
        let value = self
            .value(ORIENTATION)
            .and_then(|value| u8::try_from(value).ok());
        value
            .and_then(Orientation::from_exif)
            .unwrap_or(Orientation::NoTransforms)
    }
}
