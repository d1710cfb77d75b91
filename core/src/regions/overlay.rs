//! Segmentations to look at. It refuses a map of another size than its image.

use ::png::{BitDepth, ColorType, Encoder};

use super::{Palette, RegionError};
use crate::image::RgbImage;
use crate::segment::{SegmentMap, write_png};

/// What is drawn where segments meet.
const BOUNDARY: [u8; 3] = [255; 3];

/// The image, half covered by its segments' colours, with a white line where segments meet.
pub fn overlay(image: &RgbImage, map: &SegmentMap) -> Result<RgbImage, RegionError> {
    let (height, width) = (image.height(), image.width());
    if (map.height(), map.width()) != (height, width) {
        return Err(RegionError::SizeMismatch {
            what: "The label map",
            height,
            width,
            actual_height: map.height(),
            actual_width: map.width(),
        });
    }
    let mut pixels = image.pixels().to_vec();
    let colors: Vec<[u8; 3]> = (0..=map.largest_id()).map(|id| Palette.color(id)).collect();
    let below = map.rows().skip(1).map(Some).chain([None]);
    let lines = pixels.chunks_exact_mut(3 * width as usize);
    for (line, (row, below)) in lines.zip(map.rows().zip(below)) {
        for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let id = row[x];
            let differs = |other: Option<&u16>| other.is_some_and(|&other| other != id);
            if differs(row.get(x + 1)) || differs(below.and_then(|below| below.get(x))) {
                *pixel = BOUNDARY;
            } else {
                let color = colors[usize::from(id)];
                *pixel = std::array::from_fn(|i| pixel[i].midpoint(color[i]));
            }
        }
    }
    RgbImage::new(width, height, pixels).map_err(|_| RegionError::MaskSize { height, width })
}

/// [`overlay`] as a PNG.
pub fn overlay_png(image: &RgbImage, map: &SegmentMap) -> Result<Vec<u8>, RegionError> {
    let picture = overlay(image, map)?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    write_png(encoder, picture.pixels());
    Ok(bytes)
}

/// The segments' colours alone as a PNG. Where every id is below 256 it is a palette whose indices are the ids, so
/// that it is a label map too; beyond, it is RGB.
#[must_use]
pub fn color_png(map: &SegmentMap) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, map.width(), map.height());
    encoder.set_depth(BitDepth::Eight);
    if map.largest_id() <= u8::MAX.into() {
        encoder.set_color(ColorType::Indexed);
        let colors = (0..=map.largest_id()).flat_map(|id| Palette.color(id));
        encoder.set_palette(colors.collect::<Vec<u8>>());
        let indices = map.ids().iter().map(|id| id.to_be_bytes()[1]);
        write_png(encoder, &indices.collect::<Vec<u8>>());
    } else {
        encoder.set_color(ColorType::Rgb);
        let colors = map.ids().iter().flat_map(|&id| Palette.color(id));
        write_png(encoder, &colors.collect::<Vec<u8>>());
    }
    bytes
}
