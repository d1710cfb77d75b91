//! Decodes images, turned upright: `decode FILE…` writes the pixels in RGB to FILE.rgb and prints a line for each file,
//! height and width or what is wrong with it.

use std::{env, error, fs};

use detcon_core::image::{ImageLimits, decode};

fn main() -> Result<(), Box<dyn error::Error>> {
    for path in env::args().skip(1) {
        match decode(&fs::read(&path)?, &ImageLimits::default()) {
            Ok(image) => {
                fs::write(format!("{path}.rgb"), image.pixels())?;
                println!("{} {}", image.height(), image.width());
            }
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
