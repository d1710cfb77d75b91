//! Draws a label map over its image: `overlay IMAGE LABELS.png > OVERLAY.png`.

use std::io::Write as _;
use std::{env, error, fs, io};

use detcon_core::image::{ImageLimits, decode};
use detcon_core::regions::overlay_png;
use detcon_core::segment::SegmentMap;

fn main() -> Result<(), Box<dyn error::Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [image, labels] = arguments.as_slice() else {
        return Err("usage: overlay IMAGE LABELS.png > OVERLAY.png".into());
    };
    let limits = ImageLimits::default();
    let image = decode(&fs::read(image)?, &limits)?;
    let labels = SegmentMap::from_png(&fs::read(labels)?, &limits)?;
    io::stdout().write_all(&overlay_png(&image, &labels)?)?;
    Ok(())
}
