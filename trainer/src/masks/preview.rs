//! A contact sheet: photographs with their segments drawn over them, to look at before a long run is trusted.

use std::io::Cursor;

use detcon_core::image::{ImageLimits, decode_stored};
use detcon_core::segment::SegmentMap;
use image::{ImageFormat, Rgb, RgbImage, imageops};

use crate::sample::Sample;

/// Longest side of a photograph on the sheet, in pixels.
const TILE: u32 = 240;
/// Between photographs, in pixels.
const GAP: u32 = 6;
/// Part of a pixel's colour that is its segment's, in 256ths.
const TINT: u16 = 110;

/// Colours of segments, taken in turn.
const COLOURS: [[u8; 3]; 12] = [
    [230, 25, 75],
    [60, 180, 75],
    [255, 225, 25],
    [0, 130, 200],
    [245, 130, 48],
    [145, 30, 180],
    [70, 240, 240],
    [240, 50, 230],
    [210, 245, 60],
    [0, 128, 128],
    [170, 110, 40],
    [0, 0, 128],
];

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
        if let Some(tile) = overlay(sample, limits) {
            let x = GAP + place % columns * pitch + (TILE - tile.width()) / 2;
            let y = GAP + place / columns * pitch + (TILE - tile.height()) / 2;
            imageops::replace(&mut sheet, &tile, x.into(), y.into());
        }
    }
    Some(png(&sheet))
}

fn png(sheet: &RgbImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    let written = sheet.write_to(&mut png, ImageFormat::Png);
    written.expect("memory takes every write, and a sheet is an image");
    png.into_inner()
}

fn overlay(sample: &Sample, limits: &ImageLimits) -> Option<RgbImage> {
    let photograph = decode_stored(&sample.image, limits).ok()?;
    let (width, height) = (photograph.width(), photograph.height());
    let photograph = RgbImage::from_raw(width, height, photograph.into_pixels())?;
    let longest = width.max(height);
    let side = |side: u32| {
        let scaled = u64::from(side) * u64::from(TILE) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(TILE).max(1)
    };
    let mut tile = imageops::thumbnail(&photograph, side(width), side(height));
    tint(&mut tile, &sample.mask);
    Some(tile)
}

/// Colours every segment of a photograph that is smaller than its mask, with white borders between segments.
fn tint(tile: &mut RgbImage, mask: &SegmentMap) {
    let (width, height) = tile.dimensions();
    let scaled =
        |place: u32, from: u32, to: u32| u64::from(place) * u64::from(to) / u64::from(from);
    let id = |x: u32, y: u32| {
        let (x, y) = (
            scaled(x, width, mask.width()),
            scaled(y, height, mask.height()),
        );
        let place = y * u64::from(mask.width()) + x;
        mask.ids()[usize::try_from(place).unwrap_or(0)]
    };
    for (x, y, pixel) in tile.enumerate_pixels_mut() {
        let segment = id(x, y);
        let border =
            id((x + 1).min(width - 1), y) != segment || id(x, (y + 1).min(height - 1)) != segment;
        if border {
            *pixel = Rgb([255; 3]);
            continue;
        }
        let colour = COLOURS[usize::from(segment) % COLOURS.len()];
        for (channel, colour) in pixel.0.iter_mut().zip(colour) {
            let mixed = u16::from(*channel) * (256 - TINT) + u16::from(colour) * TINT;
            *channel = mixed.to_be_bytes()[0];
        }
    }
}
