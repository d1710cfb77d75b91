//! Which files are images, by their names.

use std::path::Path;

/// Endings of image files, in any case. What the bytes are is seen when they are read.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Whether a file is an image, by its name.
#[must_use]
pub fn is_image(name: &Path) -> bool {
    let ending = name.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(is_image_ending)
}

/// Whether files with this ending are images.
#[must_use]
pub fn is_image_ending(ending: &str) -> bool {
    let mut endings = ENDINGS.iter();
    endings.any(|known| known.eq_ignore_ascii_case(ending))
}
