//! Images in files of their own, whose masks are made or drawn when they are needed.

use std::path::PathBuf;

use detcon_core::digest::sha256;
use detcon_core::image::{ImageLimits, RgbImage, decode_stored};
use detcon_core::segment::{SegmentMap, Workspace};
use detcon_data::annotations::{Annotations, WithoutOutline};

use super::cache::MaskCache;
use super::{DataPlace, ImageMask, Picture};
use crate::loader::LoaderError;
use crate::masks::{MaskSource, Masker, MasksError, SourceImage, SourceSet};
use crate::recipe::{MaskRecipe, ObjectMasks};

/// The order of the images in the data set is that of SHA-256(this, path). The run's own seed shuffles them anew.
const ORDER: u64 = 0;

/// Images in files, and where their masks come from.
#[derive(Debug)]
pub(super) struct ImageFiles {
    set: SourceSet,
    masks: MaskSource,
    objects: ObjectMasks,
    cache: Option<MaskCache>,
}

/// Most objects of an image that are pooled one by one, the first: as many as `_get_segmentations` of the published
/// `datasets/dataset_adapter.py` loads (`max_gt_masks`).
const MOST_OBJECTS: usize = 16;

impl ImageFiles {
    /// A folder of images for each class, or of images without, with Felzenszwalb's segments.
    pub(super) fn in_folders(place: &DataPlace, masks: MaskRecipe) -> Result<Self, LoaderError> {
        let set = SourceSet::in_folder(&place.folder, ORDER)?;
        let objects = masks.objects;
        let masks = MaskSource::from(masks);
        Masker::of(&masks)?;
        let cache = place.mask_cache.as_deref();
        let cache = cache.map(|folder| MaskCache::open(folder, &masks));
        Ok(Self {
            set,
            cache: cache.transpose()?,
            masks,
            objects,
        })
    }

    /// The images that annotations list, without classes.
    pub(super) fn annotated(place: &DataPlace, masks: MaskRecipe) -> Result<Self, LoaderError> {
        let annotations = place.annotations.as_deref().unwrap_or(&place.folder);
        let annotations = Annotations::read(annotations, place.without_outline);
        let annotations = annotations.map_err(MasksError::from)?;
        Ok(Self {
            set: SourceSet::annotated(&annotations, &place.folder, ORDER)?,
            masks: MaskSource::Annotations(annotations),
            objects: masks.objects,
            cache: None,
        })
    }

    /// SHA-256 of the paths and classes, and of the annotations.
    pub(super) fn digest(&self) -> String {
        match &self.masks {
            MaskSource::Annotations(annotations) => {
                let all = format!("{} {}", self.set.digest(), annotations.digest());
                sha256(all.as_bytes())
            }
            MaskSource::Felzenszwalb { .. }
            | MaskSource::Grid { .. }
            | MaskSource::LabelMaps { .. } => self.set.digest(),
        }
    }

    /// Whether any image has a class.
    pub(super) fn has_classes(&self) -> bool {
        let mut images = self.set.images().iter();
        images.any(|image| self.set.class(image).label.is_some())
    }

    /// Ids of the annotations that nobody outlined, and what becomes of them.
    pub(super) fn without_outline(&self) -> Option<(&[u64], WithoutOutline)> {
        match &self.masks {
            MaskSource::Annotations(annotations) => Some(annotations.without_outline()),
            MaskSource::Felzenszwalb { .. }
            | MaskSource::Grid { .. }
            | MaskSource::LabelMaps { .. } => None,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.set.len() as u64
    }

    pub(super) fn picture(&self, image: u64) -> Result<Picture, LoaderError> {
        let (source, bytes, pixels) = self.read(image)?;
        Ok(Picture {
            mask: self.mask(source, &bytes, &pixels)?,
            pixels,
            label: self.set.class(source).label,
        })
    }

    fn mask(
        &self,
        source: &SourceImage,
        bytes: &[u8],
        pixels: &RgbImage,
    ) -> Result<ImageMask, LoaderError> {
        let size = [pixels.height(), pixels.width()];
        match (&self.masks, self.objects, &self.cache) {
            (MaskSource::Annotations(annotations), ObjectMasks::Overlapping, _) => {
                let maps = annotations.objects(&source.path, size, MOST_OBJECTS);
                let maps = maps.map_err(|failure| no_mask(source, failure.to_string()))?;
                Ok(ImageMask::Layers(maps))
            }
            (_, _, None) => self.made(source, pixels).map(ImageMask::Flat),
            (_, _, Some(cache)) => {
                let make = || self.made(source, pixels);
                let map = cache.get_or_make(&sha256(bytes), size, make)?;
                Ok(ImageMask::Flat(map))
            }
        }
    }

    /// The pixels of an image and its class.
    pub(super) fn labelled(&self, image: u64) -> Result<(RgbImage, Option<u32>), LoaderError> {
        let (source, _, pixels) = self.read(image)?;
        Ok((pixels, self.set.class(source).label))
    }

    fn read(&self, image: u64) -> Result<(&SourceImage, Vec<u8>, RgbImage), LoaderError> {
        let place = usize::try_from(image).ok();
        let source = place.and_then(|place| self.set.images().get(place));
        let source = source.ok_or(LoaderError::Empty)?;
        let path = || source.path.clone();
        let limits = ImageLimits::default();
        let bytes = self.set.read(source, limits.bytes);
        let bytes = bytes.map_err(|cause| LoaderError::Read {
            path: path(),
            cause,
        })?;
        let pixels = decode_stored(&bytes, &limits);
        let pixels = pixels.map_err(|cause| LoaderError::Picture {
            path: path(),
            cause,
        })?;
        Ok((source, bytes, pixels))
    }

    fn made(&self, source: &SourceImage, pixels: &RgbImage) -> Result<SegmentMap, LoaderError> {
        let masker = Masker::of(&self.masks)?;
        let limits = ImageLimits::default();
        let maps = masker.maps(source, pixels, &limits, &mut Workspace::default());
        let maps = maps.map_err(|failure| no_mask(source, failure.to_string()))?;
        let first = maps.into_iter().next();
        first.ok_or_else(|| no_mask(source, "No mask was made.".to_owned()))
    }
}

fn no_mask(source: &SourceImage, reason: String) -> LoaderError {
    LoaderError::NoMask {
        path: PathBuf::clone(&source.path),
        reason,
    }
}
