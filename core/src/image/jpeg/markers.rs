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
pub(super) const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
pub(super) const ADOBE: u8 = 0xee;

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

    /// What a segment of this marker holds.
    pub(super) fn payload_of(&self, marker: u8) -> Option<&'a [u8]> {
        (self.marker == marker).then_some(self.payload)
    }

    pub(super) fn shapes_picture(&self) -> bool {
        let tables = [HUFFMAN_TABLES, QUANTIZATION_TABLES, RESTART_INTERVAL, SCAN];
        tables.contains(&self.marker) || is_frame(self.marker)
    }

    fn tells_colors(&self) -> bool {
        [APP0, ADOBE].contains(&self.marker)
    }

    pub(super) fn size(&self) -> usize {
        4 + self.payload.len() + self.entropy.len()
    }

    /// Writes the segment as it was in the file, with components of other names.
    pub(super) fn write(&self, rename: impl Fn(u8) -> u8, stream: &mut Vec<u8>) {
        let start = stream.len() + 4;
        write(self.marker, self.payload, stream);
        let names = match self.marker {
            SCAN => stream[start..]
                .get_mut(1..)
                .map(|names| names.chunks_mut(2)),
            marker if is_frame(marker) => {
                let names = stream[start..].get_mut(FRAME_HEAD..);
                names.map(|names| names.chunks_mut(COMPONENT))
            }
            _ => None,
        };
        let count = self.scan_components().unwrap_or(usize::MAX);
        for name in names.into_iter().flatten().take(count) {
            name[0] = rename(name[0]);
        }
        stream.extend(self.entropy);
    }
}

/// Writes a segment without entropy-coded bytes.
pub(super) fn write(marker: u8, payload: &[u8], stream: &mut Vec<u8>) {
    let length = u16::try_from(payload.len() + 2).expect("it was read from a 16-bit length");
    stream.extend([0xff, marker]);
    stream.extend(length.to_be_bytes());
    stream.extend(payload);
}

/// Bytes of a frame header before its components, and of each component: its name, its factors of sampling, its table.
const FRAME_HEAD: usize = 6;
const COMPONENT: usize = 3;
/// Most components that are read.
const COMPONENTS: usize = 4;

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
    /// The name of each component, and how finely it is sampled along both sides.
    components: [(u8, [u8; 2]); COMPONENTS],
    count: usize,
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
        let count = usize::from(components);
        let listed = segment.payload.get(FRAME_HEAD..).unwrap_or_default();
        let listed = listed.as_chunks::<COMPONENT>().0;
        if listed.len() < count {
            return Err(corrupt("its frame header is too short"));
        }
        let mut components = [(0, [1, 1]); COMPONENTS];
        for (component, [name, factors, _table]) in components.iter_mut().zip(&listed[..count]) {
            *component = (*name, [factors >> 4, factors & 15]);
        }
        check_sampling(&components[..count])?;
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        Ok(Some(Self {
            process,
            width,
            height,
            components,
            count,
        }))
    }

    /// The names of the components.
    pub(super) fn identifiers(&self) -> Vec<u8> {
        self.components().iter().map(|(name, _)| *name).collect()
    }

    fn components(&self) -> &[(u8, [u8; 2])] {
        &self.components[..self.count]
    }

    /// A baseline picture is one scan of all its components. Separate scans are as valid and hardly ever written; the
    /// decoder loses the last rows of some of them without a word, so they are refused.
    pub(super) fn check_baseline(&self, scans: &[usize]) -> Result<(), ImageError> {
        match scans {
            [components] if *components == self.count => Ok(()),
            [first, ..] if *first < self.count => {
                Err(unsupported("a scan for each colour component"))
            }
            _ => Err(corrupt("it repeats its only scan")),
        }
    }
}

/// Refuses factors of sampling that the decoder makes other colours of, or cannot read: libjpeg reads more.
fn check_sampling(components: &[(u8, [u8; 2])]) -> Result<(), ImageError> {
    let valid = |factors: [u8; 2]| factors.iter().all(|factor| (1..=4).contains(factor));
    if !components.iter().all(|(_, factors)| valid(*factors)) {
        return Err(corrupt("its factors of sampling are not from 1 to 4"));
    }
    // A component that is alone is sampled as finely as the picture, whatever it says.
    let [(_, luma), others @ ..] = components else {
        return Ok(());
    };
    for (_, factors) in others {
        if factors[0] > luma[0] || factors[1] > luma[1] {
            return Err(unsupported("chroma that is sampled more finely than luma"));
        }
        let divides = luma[0] % factors[0] == 0 && luma[1] % factors[1] == 0;
        if !divides || luma[0] == 3 || (luma[1], factors[1]) == (4, 2) {
            let [[h, v], [own_h, own_v]] = [*luma, *factors];
            let detail = format!("chroma of {own_h}x{own_v} samples beside {h}x{v} of luma");
            return Err(unsupported(&detail));
        }
    }
    Ok(())
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
            if segment.shapes_picture() || segment.tells_colors() || segment.exif().is_some() {
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
