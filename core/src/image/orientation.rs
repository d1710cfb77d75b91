//! The EXIF orientation: how a camera was held, and the pixels turned upright in one pass.

use super::RgbImage;
use super::directory::Directory;

pub(super) use ::image::metadata::Orientation;

/// The tag (EXIF 2.32, table 4).
const ORIENTATION: u16 = 274;

/// Pixels along a side of the blocks that are copied: reads and writes of a quarter turn then stay in the cache.
const BLOCK: usize = 32;

/// The orientation that an EXIF block gives; upright where it gives none. Some writers put a JPEG's prefix before it.
pub(super) fn from_exif(exif: &[u8]) -> Orientation {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Directory::first(tiff).map_or(Orientation::NoTransforms, |first| of(&first))
}

/// The orientation that a directory gives; upright where it gives none.
pub(super) fn of(directory: &Directory) -> Orientation {
    let value = directory.number(ORIENTATION);
    let value = value.and_then(|value| u8::try_from(value).ok());
    let orientation = value.and_then(Orientation::from_exif);
    orientation.unwrap_or(Orientation::NoTransforms)
}

/// Turns stored pixels upright.
pub(super) fn apply(orientation: Orientation, image: RgbImage) -> RgbImage {
    let (right, bottom) = (image.width() as usize - 1, image.height() as usize - 1);
    match orientation {
        Orientation::NoTransforms => image,
        Orientation::FlipHorizontal => rearrange(&image, false, |x, y| (right - x, y)),
        Orientation::Rotate180 => rearrange(&image, false, |x, y| (right - x, bottom - y)),
        Orientation::FlipVertical => rearrange(&image, false, |x, y| (x, bottom - y)),
        Orientation::Rotate90FlipH => rearrange(&image, true, |x, y| (y, x)),
        Orientation::Rotate90 => rearrange(&image, true, |x, y| (y, bottom - x)),
        Orientation::Rotate270FlipH => rearrange(&image, true, |x, y| (right - y, bottom - x)),
        Orientation::Rotate270 => rearrange(&image, true, |x, y| (right - y, x)),
    }
}

/// Builds the image whose pixel (x, y) is `image`'s pixel `source(x, y)`.
fn rearrange(
    image: &RgbImage,
    transposed: bool,
    source: impl Fn(usize, usize) -> (usize, usize),
) -> RgbImage {
    let (stored_width, stored_height) = (image.width(), image.height());
    let (width, height) = if transposed {
        (stored_height, stored_width)
    } else {
        (stored_width, stored_height)
    };
    let (columns, rows, stride) = (width as usize, height as usize, stored_width as usize);
    let stored = image.pixels().as_chunks::<3>().0;
    let mut pixels = vec![0; image.pixels().len()];
    let upright = pixels.as_chunks_mut::<3>().0;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for y in top..rows.min(top + BLOCK) {
                for x in left..columns.min(left + BLOCK) {
                    let (from_x, from_y) = source(x, y);
                    upright[y * columns + x] = stored[from_y * stride + from_x];
                }
            }
        }
    }
    RgbImage::new(width, height, pixels).expect("the same number of pixels")
}
