//! Label maps as PNG: each sample, or each palette index, is an id. It refuses colours, alpha, and sizes above the
//! limits (decided from the header, before there is any memory for pixels).

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, Encoder, OutputInfo, Transformations};

use super::{SegmentError, SegmentMap};
use crate::image::ImageLimits;

impl SegmentMap {
    /// Reads a label PNG: grayscale of 1 to 16 bits or a palette, whose indices are the ids whatever their colours.
    /// Samples are taken as stored: 1-bit white is id 1.
    pub fn from_png(bytes: &[u8], limits: &ImageLimits) -> Result<Self, SegmentError> {
        if bytes.len() > limits.bytes {
            let detail = format!("it has more than {} bytes", limits.bytes);
            return Err(SegmentError::Png { detail });
        }
        let mut decoder = Decoder::new(Cursor::new(bytes));
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::IDENTITY);
        let (width, height) = decoder.read_header_info().map_err(refusal)?.size();
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > limits.side || pixels > limits.pixels {
            let limits = *limits;
            return Err(SegmentError::MapTooLarge {
                width,
                height,
                limits,
            });
        }
        let mut reader = decoder.read_info().map_err(refusal)?;
        check_kind(reader.output_color_type().0)?;
        let size = reader.output_buffer_size().unwrap_or(usize::MAX);
        if size as u64 > 2 * pixels {
            let detail = "its rows are longer than its size".to_owned();
            return Err(SegmentError::Png { detail });
        }
        let mut samples = vec![0; size];
        let info = reader.next_frame(&mut samples).map_err(refusal)?;
        Self::new(height, width, unpack(&samples, &info))
    }

    /// Writes a label PNG: grayscale of 8 bits if every id is below 256, of 16 bits otherwise.
    #[must_use]
    pub fn to_png(&self) -> Vec<u8> {
        let (depth, samples) = if self.largest_id() <= u8::MAX.into() {
            let low = self.ids().iter().map(|id| id.to_be_bytes()[1]);
            (BitDepth::Eight, low.collect())
        } else {
            let bytes = self.ids().iter().flat_map(|id| id.to_be_bytes());
            (BitDepth::Sixteen, bytes.collect::<Vec<u8>>())
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.width(), self.height());
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(depth);
        write(encoder, &samples);
        bytes
    }
}

/// Writes samples that fill the image that the encoder was made for.
pub(crate) fn write(encoder: Encoder<'_, &mut Vec<u8>>, samples: &[u8]) {
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(samples));
    written.expect("memory takes every write, and the samples fill an image that is not empty");
}

fn check_kind(color: ColorType) -> Result<(), SegmentError> {
    let found = match color {
        ColorType::Grayscale | ColorType::Indexed => return Ok(()),
        ColorType::Rgb => "RGB colours",
        ColorType::Rgba => "RGB colours with alpha",
        ColorType::GrayscaleAlpha => "grayscale with alpha",
    };
    Err(SegmentError::NotLabels { found })
}

/// One id for each pixel from packed rows.
fn unpack(samples: &[u8], info: &OutputInfo) -> Vec<u16> {
    let width = info.width as usize;
    let rows = samples.chunks_exact(info.line_size.max(1));
    let mut ids = Vec::with_capacity(width * info.height as usize);
    for row in rows.take(info.height as usize) {
        match info.bit_depth {
            BitDepth::Sixteen => {
                let pairs = row.as_chunks::<2>().0;
                ids.extend(pairs.iter().map(|&pair| u16::from_be_bytes(pair)));
            }
            BitDepth::Eight => ids.extend(row.iter().copied().map(u16::from)),
            BitDepth::One | BitDepth::Two | BitDepth::Four => {
                let bits = info.bit_depth as u8;
                ids.extend((0..width).map(|x| packed(row, x, bits)));
            }
        }
    }
    ids
}

/// The sample at `x` of a row whose samples have 1, 2 or 4 bits, the first in the highest.
fn packed(row: &[u8], x: usize, bits: u8) -> u16 {
    let in_byte = 8 / usize::from(bits);
    let shift = 8 - usize::from(bits) * (x % in_byte + 1);
    u16::from(row[x / in_byte] >> shift) & ((1 << bits) - 1)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn refusal(error: ::png::DecodingError) -> SegmentError {
    SegmentError::Png {
        detail: error.to_string(),
    }
}
