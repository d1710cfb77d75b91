//! The marker structure of a JPEG file (ITU T.81, annex B), read without decoding anything. What does not fit its
//! declared length is an early end; stray bytes between segments are stepped over, as libjpeg does.

use super::{TRUNCATED, corrupt, unsupported};
use crate::image::ImageError;

pub(super) const START: u8 = 0xd8;
pub(super) const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const HUFFMAN_TABLES: u8 = 0xc4;
const QUANTIZATION_TABLES: u8 = 0xdb;
const RESTART_INTERVAL: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const ADOBE: u8 = 0xee;

/// Tables and scans of a file; encoders write a few dozen. An empty one takes four bytes of a file and ten times that
/// to remember.
const SEGMENTS: usize = 1024;

/// A marker with a length, and for a scan the entropy-coded bytes after it.
pub(super) struct Segment<'a> {
    marker: u8,
    payload: &'a [u8],
    entropy: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) const fn is_scan(&self) -> bool {
        self.marker == SCAN
    }

    /// How many components a scan holds; none for other segments.
    pub(super) fn scan_components(&self) -> Option<usize> {
        self.is_scan()
            .then(|| self.payload.first().map_or(0, |&count| count.into()))
    }

    /// The EXIF block, from its TIFF header on.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        self.payload
            .strip_prefix(b"Exif\0\0")
            .filter(|_| self.marker == APP1)
    }

    pub(super) fn shapes_picture(&self) -> bool {
        let tables = [
            HUFFMAN_TABLES,
            QUANTIZATION_TABLES,
            RESTART_INTERVAL,
            SCAN,
            APP0,
            ADOBE,
        ];
        tables.contains(&self.marker) || is_frame(self.marker)
    }

    pub(super) fn size(&self) -> usize {
        4 + self.payload.len() + self.entropy.len()
    }

    /// Writes the segment as it was in the file.
    pub(super) fn write(&self, stream: &mut Vec<u8>) {
        let length =
            u16::try_from(self.payload.len() + 2).expect("it was read from a 16-bit length");
        stream.extend([0xff, self.marker]);
        stream.extend(length.to_be_bytes());
        stream.extend(self.payload);
        stream.extend(self.entropy);
    }
}

/// `SOF0`…`SOF15`; three codes in between mean something else.
const fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, HUFFMAN_TABLES | 0xc8 | 0xcc)
}

/// How the coefficients of a picture are spread over its scans.
#[derive(Clone, Copy, Debug)]
pub(super) enum Process {
    /// Every coefficient of a component in one scan.
    Baseline,
    /// Coarse first, refined scan by scan.
    Progressive,
}

/// The frame header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) process: Process,
    pub(super) width: u16,
    pub(super) height: u16,
    components: usize,
}

impl Frame {
    /// The frame header among the segments, if there is one, and of a kind that can be decoded.
    pub(super) fn of(segments: &[Segment]) -> Result<Option<Self>, ImageError> {
        let Some(segment) = segments.iter().find(|segment| is_frame(segment.marker)) else {
            return Ok(None);
        };
        let process = match segment.marker {
            0xc0 | 0xc1 => Process::Baseline,
            0xc2 => Process::Progressive,
            0xc3 => return Err(unsupported("lossless coding")),
            0xc9..=0xcb | 0xcd..=0xcf => return Err(unsupported("arithmetic coding")),
            _ => return Err(unsupported("hierarchical coding")),
        };
        let Some(&[depth, h1, h0, w1, w0, components]) = segment.payload.first_chunk() else {
            return Err(corrupt("its frame header is too short"));
        };
        if depth != 8 {
            return Err(unsupported(&format!("{depth} bits a sample")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(unsupported(&format!("{components} colour components")));
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        Ok(Some(Self {
            process,
            width,
            height,
            components: components.into(),
        }))
    }

    /// A baseline picture is one scan of all its components. Separate scans are as valid and hardly ever written; the
    /// decoder loses the last rows of some of them without a word, so they are refused.
    pub(super) fn check_baseline(&self, scans: &[usize]) -> Result<(), ImageError> {
        match scans {
            [components] if *components == self.components => Ok(()),
            [first, ..] if *first < self.components => {
                Err(unsupported("a scan for each colour component"))
            }
            _ => Err(corrupt("it repeats its only scan")),
        }
    }
}

/// The segments of a file that matter here, and whether its end-of-image marker follows them.
pub(super) struct Segments<'a> {
    pub(super) segments: Vec<Segment<'a>>,
    pub(super) complete: bool,
}

impl<'a> Segments<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let mut markers = Markers::after_start(bytes);
        let mut segments = Vec::new();
        for segment in markers.by_ref() {
            let segment = segment?;
            if segment.shapes_picture() || segment.exif().is_some() {
                segments.push(segment);
            }
            if segments.len() > SEGMENTS {
                return Err(corrupt(&format!(
                    "it has more than {SEGMENTS} tables and scans"
                )));
            }
        }
        Ok(Self {
            segments,
            complete: markers.ended,
        })
    }
}

/// The segments of a file, up to its end-of-image marker or the end of the bytes.
struct Markers<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Markers<'a> {
    /// Of a file that begins with the start-of-image marker.
    fn after_start(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.get(2..).unwrap_or_default(),
            ended: false,
        }
    }

    /// Steps behind the next marker that has a length, or that ends the image.
    fn next_marker(&mut self) -> Option<u8> {
        loop {
            self.rest = self.rest.get(memchr::memchr(0xff, self.rest)?..)?;
            let fill = self.rest.iter().position(|&byte| byte != 0xff)?;
            let marker = self.rest[fill];
            self.rest = &self.rest[fill + 1..];
            // 0 is a stuffed byte; 0x01, restarts and a repeated start have no length.
            if !matches!(marker, 0x00 | 0x01 | 0xd0..=START) {
                return Some(marker);
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ImageError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn segment(&mut self, marker: u8) -> Result<Segment<'a>, ImageError> {
        let length = self.take(2)?;
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        let payload = self.take(
            length
                .checked_sub(2)
                .ok_or_else(|| corrupt("a segment's length is below 2"))?,
        )?;
        let entropy = if marker == SCAN {
            self.take(entropy_length(self.rest))?
        } else {
            &[]
        };
        Ok(Segment {
            marker,
            payload,
            entropy,
        })
    }
}

impl<'a> Iterator for Markers<'a> {
    type Item = Result<Segment<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let marker = self.next_marker()?;
        if marker == END {
            self.ended = true;
            return None;
        }
        Some(self.segment(marker))
    }
}

/// Bytes until the next marker that is neither a stuffed zero nor a restart.
fn entropy_length(bytes: &[u8]) -> usize {
    let is_inside = |at: usize| matches!(bytes.get(at + 1), Some(0x00 | 0xd0..=0xd7));
    memchr::memchr_iter(0xff, bytes)
        .find(|&at| !is_inside(at))
        .unwrap_or(bytes.len())
}
