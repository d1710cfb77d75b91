//! Images in files of their own, whose masks are made or drawn when they are needed.

use std::path::{Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::image::{ImageLimits, RgbImage, decode_stored};
use detcon_core::segment::{SegmentMap, Workspace};

use super::cache::MaskCache;
use super::{DataPlace, Picture};
use crate::loader::LoaderError;
use crate::masks::{Annotations, Layout, MaskSource, Masker, SourceImage, SourceSet};
use crate::recipe::MaskRecipe;
use crate::shards::Split;

/// The order of the images in the data set is that of SHA-256(this, path). The run's own seed shuffles them anew.
const ORDER: u64 = 0;

/// Images in files, and where their masks come from.
#[derive(Debug)]
pub(super) struct ImageFiles {
    set: SourceSet,
    masks: MaskSource,
    cache: Option<MaskCache>,
}

impl ImageFiles {
    /// A folder of images for each class, with Felzenszwalb's segments.
    pub(super) fn in_folders(place: &DataPlace, masks: MaskRecipe) -> Result<Self, LoaderError> {
        let set = SourceSet::find(
            Layout::ImageFolder,
            &place.folder,
            None,
            Split::Train,
            ORDER,
        )?;
        let masks = MaskSource::from(masks);
        Masker::of(&masks)?;
        let cache = place.mask_cache.as_deref();
        let cache = cache.map(|folder| MaskCache::open(folder, &masks));
        Ok(Self {
            set,
            cache: cache.transpose()?,
            masks,
        })
    }

    /// The images that annotations list, without classes.
    pub(super) fn annotated(folder: &Path, annotations: &Path) -> Result<Self, LoaderError> {
        let annotations = Annotations::read(annotations)?;
        Ok(Self {
            set: SourceSet::annotated(&annotations, folder, ORDER)?,
            masks: MaskSource::Annotations(annotations),
            cache: None,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.set.len() as u64
    }

    pub(super) fn picture(&self, image: u64) -> Result<Picture, LoaderError> {
        let (source, bytes, pixels) = self.read(image)?;
        let mask = match &self.cache {
            None => self.mask(source, &pixels)?,
            Some(cache) => {
                let size = [pixels.height(), pixels.width()];
                cache.get_or_make(&sha256(&bytes), size, || self.mask(source, &pixels))?
            }
        };
        Ok(Picture {
            pixels,
            mask,
            label: self.set.class(source).label,
        })
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

    fn mask(&self, source: &SourceImage, pixels: &RgbImage) -> Result<SegmentMap, LoaderError> {
        let failed = |reason: String| LoaderError::NoMask {
            path: PathBuf::clone(&source.path),
            reason,
        };
        let masker = Masker::of(&self.masks)?;
        let limits = ImageLimits::default();
        let maps = masker.maps(source, pixels, &limits, &mut Workspace::default());
        let maps = maps.map_err(|failure| failed(failure.to_string()))?;
        let first = maps.into_iter().next();
        first.ok_or_else(|| failed("No mask was made.".to_owned()))
    }
}
