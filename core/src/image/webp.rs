//! WebP. The chunks are walked here first: a file may claim one size for its canvas and another for the picture in it,
//! and the decoder makes room for the picture before it compares them.

use std::io::Cursor;

use ::image::codecs::webp::WebPDecoder;

use super::orientation::{self, Orientation};
use super::{Decoded, Format, ImageError, ImageLimits, plain};

const FORMAT: Format = Format::WebP;
const TRUNCATED: ImageError = ImageError::Truncated { format: FORMAT };

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let file = whole_file(bytes)?;
    let mut upright = Orientation::NoTransforms;
    for chunk in Chunks(file.get(12..).ok_or(TRUNCATED)?) {
        let Chunk { name, data } = chunk?;
        match &name {
            b"EXIF" => upright = orientation::from_exif(data),
            // A frame: 16 bytes of its own, then chunks.
            b"ANMF" => Chunks(data.get(16..).ok_or(TRUNCATED)?)
                .try_for_each(|inner| check(&inner?, limits))?,
            _ => check(&Chunk { name, data }, limits)?,
        }
    }
    let decoder =
        WebPDecoder::new(Cursor::new(file)).map_err(|error| plain::refusal(FORMAT, error))?;
    Ok(Decoded {
        image: plain::read(FORMAT, decoder, limits)?,
        orientation: upright,
    })
}

/// The part of the bytes that the file's own header counts.
fn whole_file(bytes: &[u8]) -> Result<&[u8], ImageError> {
    let size: &[u8; 4] = bytes
        .get(4..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(TRUNCATED)?;
    bytes
        .get(..(u32::from_le_bytes(*size) as usize).saturating_add(8))
        .ok_or(TRUNCATED)
}

/// Checks the size that a chunk gives of the canvas or of the picture in it; most chunks give none.
fn check(chunk: &Chunk, limits: &ImageLimits) -> Result<(), ImageError> {
    let (width, height) = match &chunk.name {
        b"VP8X" => {
            let [w0, w1, w2, h0, h1, h2] = chunk.bytes(4)?;
            (
                1 + u32::from_le_bytes([w0, w1, w2, 0]),
                1 + u32::from_le_bytes([h0, h1, h2, 0]),
            )
        }
        b"VP8 " => {
            let size = u32::from_le_bytes(chunk.bytes(6)?);
            (size & 0x3fff, (size >> 16) & 0x3fff)
        }
        b"VP8L" => {
            let size = u32::from_le_bytes(chunk.bytes(1)?);
            (1 + (size & 0x3fff), 1 + ((size >> 14) & 0x3fff))
        }
        _ => return Ok(()),
    };
    limits.check(FORMAT, width, height)
}

struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
}

impl Chunk<'_> {
    /// The bytes from `start` on.
    fn bytes<const N: usize>(&self, start: usize) -> Result<[u8; N], ImageError> {
        let bytes = self.data.get(start..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(TRUNCATED)
    }
}

/// Chunks in a row: name, little-endian size, data, a byte of padding after an odd size.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let Some((header, rest)) = rest.split_first_chunk::<8>() else {
            return Some(Err(TRUNCATED));
        };
        let [n0, n1, n2, n3, s0, s1, s2, s3] = *header;
        let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        let Some(data) = rest.get(..size) else {
            return Some(Err(TRUNCATED));
        };
        self.0 = rest.get(size + size % 2..).unwrap_or_default();
        Some(Ok(Chunk {
            name: [n0, n1, n2, n3],
            data,
        }))
    }
}
