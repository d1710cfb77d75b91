//! Why an image was refused, in sentences for the person who sent it, and the limits behind some of them.

use std::error::Error;

use super::Format;

/// The largest image that is accepted. Checked against the header, before pixel memory exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most bytes of an encoded image.
    pub bytes: usize,
    /// Most pixels, width times height.
    pub pixels: u64,
    /// Most pixels along either side.
    pub side: u32,
}

impl Default for ImageLimits {
    /// 32 MiB, 50 megapixels, 32768 pixels a side.
    ///
    /// A telephone's 48-megapixel photograph passes. An image costs 3 bytes a pixel (150 MB at the limit); while it is
    /// decoded, up to 11 for a progressive JPEG, 6 for one to be turned upright, and 16 at worst, for a 16-bit TIFF with
    /// alpha. Multiply by the number of images that are decoded at once.
    fn default() -> Self {
        Self {
            bytes: 32 << 20,
            pixels: 50_000_000,
            side: 32_768,
        }
    }
}

impl ImageLimits {
    /// Refuses dimensions above the limits, and empty ones.
    pub(super) fn check(&self, format: Format, width: u32, height: u32) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            let detail = format!("its header says {width}x{height} pixels");
            return Err(ImageError::Corrupt { format, detail });
        }
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > self.side || pixels > self.pixels {
            return Err(ImageError::TooLarge {
                width,
                height,
                limits: *self,
            });
        }
        Ok(())
    }
}

/// Why bytes did not become an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("The image is empty. Send the bytes of an image file.")]
    Empty,
    /// More encoded bytes than allowed.
    #[error(
        "The image has {bytes} bytes, and at most {limit} are accepted. Send a smaller or more compressed image."
    )]
    TooManyBytes {
        /// Bytes received.
        bytes: usize,
        /// Most bytes accepted.
        limit: usize,
    },
    /// The first bytes are those of no known format.
    #[error(
        "These bytes are no image in a known format. Send one of: {}.",
        Format::list()
    )]
    UnknownFormat,
    /// A format that is known and not read.
    #[error(
        "This is {name}, which is not read. Convert it to a JPEG or a PNG first; phones send JPEG when their camera is \
         set to the most compatible format."
    )]
    OtherFormat {
        /// Its name.
        name: &'static str,
    },
    /// More pixels, or a longer side, than allowed.
    #[error(
        "The image is {width}x{height} pixels, and at most {} pixels, {} a side, are accepted. Scale it down first.",
        limits.pixels, limits.side
    )]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// What was allowed.
        limits: ImageLimits,
    },
    /// The file ends before its picture does.
    #[error("The {format} file ends before its picture does. Send the whole file.")]
    Truncated {
        /// The format of the file.
        format: Format,
    },
    /// The file breaks its format's rules.
    #[error("The {format} file is damaged: {detail}. Open and save it again with an image editor.")]
    Corrupt {
        /// The format of the file.
        format: Format,
        /// What is wrong with it.
        detail: String,
    },
    /// A valid file of a kind that is not read.
    #[error(
        "This kind of {format} is not supported: {detail}. Convert it to a JPEG or an 8-bit PNG."
    )]
    Unsupported {
        /// The format of the file.
        format: Format,
        /// What it uses.
        detail: String,
    },
    /// Pixels that do not fill the dimensions given with them.
    #[error(
        "{bytes} bytes of pixels do not make a {width}x{height} RGB image. Give 3 bytes for each pixel."
    )]
    Shape {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes given.
        bytes: usize,
    },
}

impl ImageError {
    /// Sorts a decoder's error: an end of file anywhere in its chain of causes means that the file was cut.
    pub(super) fn from_decoder(format: Format, error: &(dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        if causes.any(is_end_of_file) {
            return Self::Truncated { format };
        }
        Self::Corrupt {
            format,
            detail: error.to_string(),
        }
    }
}

fn is_end_of_file(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    // The GIF decoder has an error of its own for it.
    let gif = error.downcast_ref::<gif::DecodingError>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
        || gif.is_some_and(|error| matches!(error, gif::DecodingError::UnexpectedEof))
}
