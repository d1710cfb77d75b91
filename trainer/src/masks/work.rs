//! One image's way into a shard.

use bytes::Bytes;
use detcon_core::image::ImageLimits;
use detcon_core::segment::{SegmentMap, Workspace};

use super::masker::{MaskFailure, Masker};
use super::merge::merge_smallest;
use super::picture::{Picture, PictureError};
use super::{Overflow, SourceImage, SourceSet};
use detcon_data::sample::{Origin, STORED_SEGMENTS, Sample, SampleError};

/// What is the same for every image.
pub(super) struct Work<'a> {
    pub(super) set: &'a SourceSet,
    pub(super) masker: Masker<'a>,
    pub(super) overflow: Overflow,
    pub(super) limits: ImageLimits,
}

/// An image, ready to be written.
pub(super) struct Finished {
    /// The record's payload.
    pub(super) payload: Vec<u8>,
    /// Segments of the first mask.
    pub(super) segments: usize,
    /// Most segments of a mask before it was merged to fit, if one was.
    pub(super) merged_from: Option<usize>,
    /// What the file was, if it was re-encoded.
    pub(super) reencoded_from: Option<&'static str>,
}

/// The masks of an image, one for each scale.
struct Masks {
    maps: Vec<SegmentMap>,
    /// Most segments of one before it was merged to fit, if one was.
    merged_from: Option<usize>,
}

/// Why an image is left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageFailure {
    #[error("It could not be read: {0}.")]
    Read(#[from] std::io::Error),
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Mask(#[from] MaskFailure),
    #[error(
        "It has {segments} segments, and a shard stores one byte for each pixel. \
         Ask for fewer (a larger scale or smallest size, a coarser grid), or --overflow merge."
    )]
    TooManySegments { segments: usize },
    #[error(transparent)]
    Sample(#[from] SampleError),
}

impl Work<'_> {
    /// Reads, decodes, segments and encodes one image.
    pub(super) fn image(
        &self,
        workspace: &mut Workspace,
        image: &SourceImage,
    ) -> Result<Finished, ImageFailure> {
        let bytes = self.set.read(image, self.limits.bytes)?;
        let picture = Picture::read(bytes, &self.limits)?;
        let Masks { maps, merged_from } = self.masks(image, &picture, workspace)?;
        let mut maps = maps.into_iter();
        let mask = maps.next().expect("there is one mask or more");
        let segments = count(&mask);
        let class = self.set.class(image);
        let filename = image.path.file_name().unwrap_or_default();
        let sample = Sample {
            image: picture.jpeg,
            label: class.label,
            mask,
            further_masks: maps.collect(),
            origin: Origin {
                filename: Bytes::copy_from_slice(filename.as_encoded_bytes()),
                synset: class.synset.clone().into(),
                text: class.text.clone().into(),
            },
        };
        Ok(Finished {
            payload: sample.to_example()?.to_bytes(),
            segments,
            merged_from,
            reencoded_from: picture.was,
        })
    }

    fn masks(
        &self,
        image: &SourceImage,
        picture: &Picture,
        workspace: &mut Workspace,
    ) -> Result<Masks, ImageFailure> {
        let (pixels, limits) = (&picture.pixels, &self.limits);
        let made = self.masker.maps(image, pixels, limits, workspace)?;
        let mut merged_from = None;
        let mut maps = Vec::with_capacity(made.len());
        for map in made {
            let segments = count(&map);
            if segments > STORED_SEGMENTS {
                merged_from = merged_from.max(Some(segments));
            }
            maps.push(self.fit(map)?);
        }
        Ok(Masks { maps, merged_from })
    }

    /// The map with at most 256 segments, if the settings allow a change.
    fn fit(&self, map: SegmentMap) -> Result<SegmentMap, ImageFailure> {
        let segments = count(&map);
        match self.overflow {
            _ if segments <= STORED_SEGMENTS => Ok(map),
            Overflow::Error => Err(ImageFailure::TooManySegments { segments }),
            Overflow::Merge => Ok(merge_smallest(&map, STORED_SEGMENTS)),
        }
    }
}

/// The number of segments of a map whose ids leave no gaps.
fn count(map: &SegmentMap) -> usize {
    usize::from(map.largest_id()) + 1
}
