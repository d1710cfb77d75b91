//! GIF: the first frame on its screen, as Pillow draws it (`GifImagePlugin.py`, `_seek` and `load_prepare`): a frame that
//! reaches beyond the screen makes it larger, and where the frame is not, the screen has the transparent colour, or the
//! first of the palette where none is transparent.

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::orientation::Orientation;
use super::{Decoded, Format, ImageError, ImageLimits, RgbImage};

const FORMAT: Format = Format::Gif;
/// Bytes of a colour in a palette.
const COLOR: usize = 3;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Unlimited); // what there is to be held is checked here
    let decoder = options.read_info(Cursor::new(bytes));
    let mut decoder = decoder.map_err(|error| refusal(&error))?;
    let (wide, high) = (decoder.width(), decoder.height());
    limits.check(FORMAT, wide.into(), high.into())?;
    let frame = decoder.next_frame_info().map_err(|error| refusal(&error))?;
    let frame = frame.ok_or(ImageError::Truncated { format: FORMAT })?;
    let [left, top] = [frame.left, frame.top].map(usize::from);
    let [columns, rows] = [frame.width, frame.height].map(usize::from);
    let [width, height] = [
        (left + columns).max(wide.into()),
        (top + rows).max(high.into()),
    ];
    let [width_u32, height_u32] =
        [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    limits.check(FORMAT, width_u32, height_u32)?;
    let background = frame.transparent.unwrap_or(0);
    let mut indices = vec![0; columns * rows];
    decoder
        .read_into_buffer(&mut indices)
        .map_err(|error| refusal(&error))?;
    let palette = decoder.palette().map_err(|error| refusal(&error))?;
    let colors = palette.as_chunks::<COLOR>().0;
    let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or_default();
    let mut pixels = vec![color(background); width * height];
    if columns > 0 {
        let screen = pixels[top * width..].chunks_exact_mut(width);
        for (row, indices) in screen.zip(indices.chunks_exact(columns)) {
            for (pixel, &index) in row[left..].iter_mut().zip(indices) {
                *pixel = color(index);
            }
        }
    }
    Ok(Decoded {
        image: RgbImage::new(width_u32, height_u32, pixels.into_flattened())?,
        orientation: Orientation::NoTransforms,
    })
}

fn refusal(error: &DecodingError) -> ImageError {
    match error {
        DecodingError::Io(error) => ImageError::from_decoder(FORMAT, error),
        other => ImageError::from_decoder(FORMAT, other),
    }
}
