//! A contact sheet: photographs with their segments drawn over them, to look at before a long run is trusted.

use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{Rgb, RgbImage, imageops};
use detcon_core::image::{self, ImageLimits, decode_stored};
use detcon_core::regions::overlay;
use detcon_core::segment::SegmentMap;

use detcon_data::sample::Sample;

/// Longest side of a photograph on the sheet, in pixels.
const TILE: u32 = 240;
/// Between photographs, in pixels.
const GAP: u32 = 6;
/// A PNG of all samples in rows, or nothing if there are none. A sample whose image does not decode leaves its place
/// empty.
#[must_use]
pub fn contact_sheet(samples: &[Sample], limits: &ImageLimits) -> Option<Vec<u8>> {
    let count = u32::try_from(samples.len())
        .ok()
        .filter(|&count| count > 0)?;
    let columns = (count - 1).isqrt() + 1;
    let rows = count.div_ceil(columns);
    let pitch = TILE + GAP;
    let white = Rgb([255; 3]);
    let mut sheet = RgbImage::from_pixel(columns * pitch + GAP, rows * pitch + GAP, white);
    for (place, sample) in (0..).zip(samples) {
        if let Some(tile) = tile(sample, limits) {
            let x = GAP + place % columns * pitch + (TILE - tile.width()) / 2;
            let y = GAP + place / columns * pitch + (TILE - tile.height()) / 2;
            imageops::replace(&mut sheet, &tile, x.into(), y.into());
        }
    }
    Some(png(&sheet))
}

fn png(sheet: &RgbImage) -> Vec<u8> {
    let mut png = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive);
    let written = sheet.write_with_encoder(encoder);
    written.expect("memory takes every write, and a sheet is an image");
    png
}

/// A small picture of the photograph under its segments.
fn tile(sample: &Sample, limits: &ImageLimits) -> Option<RgbImage> {
    let photograph = decode_stored(&sample.image, limits).ok()?;
    let (width, height) = (photograph.width(), photograph.height());
    let photograph = RgbImage::from_raw(width, height, photograph.into_pixels())?;
    let longest = width.max(height);
    let side = |side: u32| (side * TILE / longest).max(1);
    let small = imageops::thumbnail(&photograph, side(width), side(height));
    let (width, height) = small.dimensions();
    let segments = shrink(&sample.mask, height, width)?;
    let small = image::RgbImage::new(width, height, small.into_raw()).ok()?;
    let picture = overlay(&small, &segments).ok()?;
    RgbImage::from_raw(width, height, picture.into_pixels())
}

/// The segments at the pixels of a smaller picture.
fn shrink(mask: &SegmentMap, height: u32, width: u32) -> Option<SegmentMap> {
    let row = |y: u32| mask.rows().nth((y * mask.height() / height) as usize);
    let mut ids = Vec::with_capacity(height as usize * width as usize);
    for row in (0..height).filter_map(row) {
        ids.extend((0..width).map(|x| row[(x * mask.width() / width) as usize]));
    }
    SegmentMap::new(height, width, ids).ok()
}
