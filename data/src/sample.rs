//! An image with its label and its masks, in the features of upstream's shards.
//!
//! Source: `_convert_to_example` of upstream's `generate_fh_masks_for_imagenet.py`, and what `_parse_example_proto` of
//! `imagenet_with_fh.py` reads of it. It refuses masks that do not fit the size that is stored with them, and segments
//! that one byte cannot tell apart.

use bytes::Bytes;
use detcon_core::segment::{SegmentError, SegmentMap};

use crate::example::{Example, FeatureError};

/// The features of a record, by name. [`Sample::to_example`] writes them in upstream's order.
mod key {
    pub(super) const HEIGHT: &str = "image/height";
    pub(super) const WIDTH: &str = "image/width";
    pub(super) const COLORSPACE: &str = "image/colorspace";
    pub(super) const CHANNELS: &str = "image/channels";
    pub(super) const LABEL: &str = "image/class/label";
    pub(super) const SYNSET: &str = "image/class/synset";
    pub(super) const TEXT: &str = "image/class/text";
    pub(super) const FORMAT: &str = "image/format";
    pub(super) const FILENAME: &str = "image/filename";
    pub(super) const ENCODED: &str = "image/encoded";
    pub(super) const MASKS: &str = "image/felzenszwalb_segmentations";
}

/// Most segments of a mask in a shard, which stores one byte for each pixel.
pub const STORED_SEGMENTS: usize = 256;

/// An image, its class and its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The encoded image, a JPEG in shards that this program or upstream wrote.
    pub image: Bytes,
    /// The class, from 0. Stored one higher; 0 is stored where there is none.
    pub label: Option<u32>,
    /// The segments, in stored pixels of the image.
    pub mask: SegmentMap,
    /// Maps of the same size at further scales, if any. Upstream writes them on request and trains without.
    pub further_masks: Vec<SegmentMap>,
    /// Where the image is from.
    pub origin: Origin,
}

/// Where an image is from. Nothing in training depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file, without folders.
    pub filename: Bytes,
    /// The class's short name: the WordNet id in ImageNet (`n01440764`), the folder in an `ImageFolder`.
    pub synset: Bytes,
    /// The class in words (`tench, Tinca tinca`).
    pub text: Bytes,
}

/// Why a record is no sample, or a sample cannot become a record.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The record is no `tf.train.Example`.
    #[error("it is no tf.train.Example: {source}")]
    NoExample {
        /// What the decoder said.
        source: prost::DecodeError,
    },
    /// A feature is missing or of the wrong kind.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// A height or width that no image has.
    #[error("it says that the image has {height}x{width} pixels (height x width)")]
    Size {
        /// Stored height.
        height: i64,
        /// Stored width.
        width: i64,
    },
    /// A label below 0 or above 32 bits.
    #[error("its label is {label}")]
    Label {
        /// The stored label.
        label: i64,
    },
    /// Bytes that are not one or more whole masks.
    #[error("its masks have {bytes} bytes, which is no multiple of {height}x{width}")]
    MaskBytes {
        /// Bytes stored.
        bytes: usize,
        /// Stored height.
        height: u32,
        /// Stored width.
        width: u32,
    },
    /// A label map that breaks its own rules.
    #[error(transparent)]
    Mask(#[from] SegmentError),
    /// More segments than one byte tells apart.
    #[error("a mask has segment {id}, and a byte holds ids up to 255")]
    WideMask {
        /// The largest id.
        id: u16,
    },
    /// Masks of different sizes.
    #[error("its masks are not of one size")]
    Uneven,
}

impl Sample {
    /// Reads the payload of a record, without decoding the image. Other features than upstream's are left unread.
    pub fn parse(payload: Bytes) -> Result<Self, SampleError> {
        let example =
            Example::parse(payload).map_err(|source| SampleError::NoExample { source })?;
        Self::from_example(&example)
    }

    /// Takes a sample out of an example.
    pub fn from_example(example: &Example) -> Result<Self, SampleError> {
        let (height, width) = (example.integer(key::HEIGHT)?, example.integer(key::WIDTH)?);
        let size = |side: i64| u32::try_from(side).ok().filter(|&side| side > 0);
        let (Some(height), Some(width)) = (size(height), size(width)) else {
            return Err(SampleError::Size { height, width });
        };
        let text = |key| match example.bytes(key) {
            Err(FeatureError::Missing { .. }) => Ok(Bytes::new()),
            other => other.cloned(),
        };
        let (mask, further_masks) = read_masks(example.bytes(key::MASKS)?, height, width)?;
        Ok(Self {
            image: example.bytes(key::ENCODED)?.clone(),
            label: read_label(example.integer(key::LABEL)?)?,
            mask,
            further_masks,
            origin: Origin {
                filename: text(key::FILENAME)?,
                synset: text(key::SYNSET)?,
                text: text(key::TEXT)?,
            },
        })
    }

    /// The example that upstream would have written.
    pub fn to_example(&self) -> Result<Example, SampleError> {
        let (height, width) = (self.mask.height(), self.mask.width());
        let stored_masks = self.stored_masks()?;
        let stored_label = self.label.map_or(0, |label| i64::from(label) + 1);
        Ok(Example::default()
            .with_integer(key::HEIGHT, height.into())
            .with_integer(key::WIDTH, width.into())
            .with_bytes(key::COLORSPACE, "RGB")
            .with_integer(key::CHANNELS, 3)
            .with_integer(key::LABEL, stored_label)
            .with_bytes(key::SYNSET, self.origin.synset.clone())
            .with_bytes(key::TEXT, self.origin.text.clone())
            .with_bytes(key::FORMAT, "JPEG")
            .with_bytes(key::FILENAME, self.origin.filename.clone())
            .with_bytes(key::ENCODED, self.image.clone())
            .with_bytes(key::MASKS, stored_masks))
    }

    fn stored_masks(&self) -> Result<Vec<u8>, SampleError> {
        let pixels = self.mask.ids().len();
        let mut bytes = Vec::with_capacity(pixels * (1 + self.further_masks.len()));
        for mask in std::iter::once(&self.mask).chain(&self.further_masks) {
            if (mask.height(), mask.width()) != (self.mask.height(), self.mask.width()) {
                return Err(SampleError::Uneven);
            }
            let id = mask.largest_id();
            if usize::from(id) >= STORED_SEGMENTS {
                return Err(SampleError::WideMask { id });
            }
            bytes.extend(mask.ids().iter().map(|id| id.to_le_bytes()[0]));
        }
        Ok(bytes)
    }
}

fn read_label(label: i64) -> Result<Option<u32>, SampleError> {
    let stored = u32::try_from(label).map_err(|_| SampleError::Label { label })?;
    Ok(stored.checked_sub(1))
}

/// One or more maps, one byte for each pixel, one map after the other: the first and the others.
fn read_masks(
    bytes: &[u8],
    height: u32,
    width: u32,
) -> Result<(SegmentMap, Vec<SegmentMap>), SampleError> {
    let uneven = || SampleError::MaskBytes {
        bytes: bytes.len(),
        height,
        width,
    };
    let pixels = usize::try_from(u64::from(height) * u64::from(width)).map_err(|_| uneven())?;
    let mut maps = bytes.chunks_exact(pixels).map(|bytes| {
        let ids = bytes.iter().copied().map(u16::from).collect();
        SegmentMap::new(height, width, ids)
    });
    match maps.next() {
        Some(first) if bytes.len().is_multiple_of(pixels) => {
            Ok((first?, maps.collect::<Result<_, _>>()?))
        }
        _ => Err(uneven()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ids: Vec<u16>) -> Sample {
        Sample {
            image: Bytes::from_static(b"jpeg"),
            label: Some(0),
            mask: SegmentMap::new(2, 2, ids).unwrap(),
            further_masks: Vec::new(),
            origin: Origin::default(),
        }
    }

    #[test]
    fn a_sample_is_read_as_it_was_written() {
        for label in [None, Some(0), Some(999)] {
            let mut sample = sample(vec![0, 1, 2, 255]);
            sample.label = label;
            sample.further_masks = vec![SegmentMap::new(2, 2, vec![9; 4]).unwrap()];
            let payload = sample.to_example().unwrap().to_bytes();
            assert_eq!(Sample::parse(payload.into()).unwrap(), sample);
        }
    }

    #[test]
    fn a_256th_id_is_an_error_and_never_wraps() {
        let refusal = sample(vec![0, 1, 2, 256]).to_example().unwrap_err();
        assert!(matches!(refusal, SampleError::WideMask { id: 256 }));
    }

    #[test]
    fn masks_that_do_not_fit_the_size_are_refused() {
        for (height, width, masks) in [(2, 2, 3), (2, 2, 0), (0, 2, 4), (-1, 2, 4), (1 << 40, 1, 4)]
        {
            let example = Example::default()
                .with_integer(key::HEIGHT, height)
                .with_integer(key::WIDTH, width)
                .with_integer(key::LABEL, 1)
                .with_bytes(key::ENCODED, "jpeg")
                .with_bytes(key::MASKS, vec![0; masks]);
            let refusal = Sample::from_example(&example).unwrap_err();
            assert!(matches!(
                refusal,
                SampleError::MaskBytes { .. } | SampleError::Size { .. }
            ));
        }
    }
}
