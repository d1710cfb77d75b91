//! JPEG, decoded with zune-jpeg in its strict mode from a stream that holds only what matters to the picture.
//!
//! Why zune-jpeg: it is the fast decoder that needs neither cmake nor nasm, and on photographs it stays within 0.25/255
//! (mean) of libjpeg-turbo's accurate DCT with fancy upsampling.
//!
//! A cut file is an error. The decoder reads zeros past the end of a scan, which are valid codes, and so would paint
//! the rest grey; ones are the code that the standard reserves (ITU T.81, annex C). The stream given to it therefore ends
//! in ones: a complete picture never reads them, an incomplete one fails on them. An end-of-image marker that is
//! missing after a complete baseline picture is forgiven; in a progressive one it may stand for missing scans.

mod colors;
mod markers;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use self::colors::Colors;
use self::markers::{Frame, Process, Segment, Segments};
use super::orientation::{self, Orientation};
use super::{Decoded, Format, ImageError, ImageLimits, RgbImage};

const FORMAT: Format = Format::Jpeg;
const TRUNCATED: ImageError = ImageError::Truncated { format: FORMAT };

/// Scans of a progressive picture; encoders write about ten, and each costs a pass over all coefficients.
const PROGRESSIVE_SCANS: usize = 100;

/// 128 one bits, more than the decoder reads ahead. (A zero follows every 0xff inside a scan.)
const ONES: [u8; 32] = {
    let mut ones = [0; 32];
    let mut at = 0;
    while at < ones.len() {
        ones[at] = 0xff;
        at += 2;
    }
    ones
};

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let picture = Picture::read(bytes, limits)?;
    let frame = picture.frame;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let options = DecoderOptions::default()
        .set_max_width(width)
        .set_max_height(height)
        .set_strict_mode(true)
        .jpeg_set_max_scans(PROGRESSIVE_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut pixels = vec![0; width * height * 3];
    JpegDecoder::new_with_options(ZCursor::new(&picture.stream), options)
        .decode_into(&mut pixels)
        .map_err(|error| picture.refusal(&error))?;
    let image = RgbImage::new(frame.width.into(), frame.height.into(), pixels)?;
    Ok(Decoded {
        image,
        orientation: picture.orientation,
    })
}

/// What the markers of a file say, and the stream for the decoder.
struct Picture {
    frame: Frame,
    orientation: Orientation,
    /// The end-of-image marker was there.
    complete: bool,
    stream: Vec<u8>,
}

impl Picture {
    fn read(bytes: &[u8], limits: &ImageLimits) -> Result<Self, ImageError> {
        let Segments { segments, complete } = Segments::of(bytes)?;
        let missing = || {
            if complete {
                corrupt("it holds no picture")
            } else {
                TRUNCATED
            }
        };
        let frame = Frame::of(&segments)?.ok_or_else(missing)?;
        limits.check(FORMAT, frame.width.into(), frame.height.into())?;
        let scans: Vec<_> = segments
            .iter()
            .filter_map(Segment::scan_components)
            .collect();
        match (frame.process, scans.as_slice()) {
            (_, []) => return Err(missing()),
            (Process::Baseline, scans) => frame.check_baseline(scans)?,
            (Process::Progressive, _) if complete => {}
            (Process::Progressive, _) => return Err(TRUNCATED),
        }
        let before = segments.iter().take_while(|segment| !segment.is_scan());
        let exif = before.into_iter().find_map(Segment::exif);
        let orientation = exif.map_or(Orientation::NoTransforms, orientation::from_exif);
        Ok(Self {
            frame,
            orientation,
            complete,
            stream: stream(&segments, &frame),
        })
    }

    fn refusal(&self, error: &DecodeErrors) -> ImageError {
        if self.complete {
            corrupt(&format!("{error:?}").replace('"', ""))
        } else {
            TRUNCATED
        }
    }
}

fn corrupt(detail: &str) -> ImageError {
    ImageError::Corrupt {
        format: FORMAT,
        detail: detail.to_owned(),
    }
}

fn unsupported(detail: &str) -> ImageError {
    ImageError::Unsupported {
        format: FORMAT,
        detail: detail.to_owned(),
    }
}

/// The file again, without comments, profiles, thumbnails and stray bytes: the decoder keeps all of those, and its
/// handling of some takes time that grows with the square of their number. What its components are is said in the one
/// way that the decoder does not take for another.
fn stream(segments: &[Segment], frame: &Frame) -> Vec<u8> {
    let colors = Colors::of(segments, frame);
    let process = frame.process;
    let segments = match process {
        // What follows the only scan is used by none, and would part it from the ones.
        Process::Baseline => segments
            .split_inclusive(Segment::is_scan)
            .next()
            .unwrap_or_default(),
        Process::Progressive => segments,
    };
    let size: usize = segments.iter().map(Segment::size).sum();
    let mut stream = Vec::with_capacity(size + ONES.len() + 20);
    stream.extend([0xff, markers::START]);
    if let Some(adobe) = colors.adobe() {
        markers::write(markers::ADOBE, &adobe, &mut stream);
    }
    let (found, names) = (frame.identifiers(), colors.identifiers());
    let rename = |name: u8| {
        let place = found.iter().position(|found| *found == name);
        place.zip(names).map_or(name, |(place, names)| names[place])
    };
    for segment in segments.iter().filter(|segment| segment.shapes_picture()) {
        segment.write(rename, &mut stream);
    }
    match process {
        Process::Baseline => stream.extend(ONES),
        Process::Progressive => {}
    }
    stream.extend([0xff, markers::END]);
    stream
}
