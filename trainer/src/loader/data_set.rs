//! The images of a data set with their masks, each at a place of its own: shards, folders of images whose masks are
//! made when they are needed, or COCO's images with the objects that people outlined.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use detcon_core::image::RgbImage;

use super::LoaderError;
use super::error::Blame;
use super::mask::ImageMask;
use crate::recipe::MaskRecipe;
use detcon_data::annotations::WithoutOutline;
use detcon_data::image_name::is_image;
use detcon_data::shards;

mod cache;
mod files;
mod sharded;

use self::files::ImageFiles;
use self::sharded::ShardImages;

/// One in so many images may be damaged.
const TOLERATED: u64 = 100;
/// How often reading is tried again.
const RETRIES: u32 = 6;
/// The wait before the first time; each further one is twice as long, 6.3 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Where a data set lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlace {
    /// Folder of shards, of a folder of images for each class, of images without classes, or of the images that
    /// `annotations` are of.
    pub folder: PathBuf,
    /// COCO's instances, whose objects are the masks.
    pub annotations: Option<PathBuf>,
    /// What becomes of instances that nobody outlined.
    pub without_outline: WithoutOutline,
    /// Where masks that are made are kept, for the next epoch and the next run.
    pub mask_cache: Option<PathBuf>,
}

impl<P: AsRef<Path> + ?Sized> From<&P> for DataPlace {
    fn from(folder: &P) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            annotations: None,
            without_outline: WithoutOutline::Skip,
            mask_cache: None,
        }
    }
}

/// An image as it is stored, with its segments.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) pixels: RgbImage,
    pub(super) mask: ImageMask,
    /// The class, from 0.
    pub(super) label: Option<u32>,
}

/// Where images and masks come from.
#[derive(Debug)]
enum Source {
    Shards(ShardImages),
    Files(ImageFiles),
}

/// Every image of a data set.
#[derive(Debug)]
pub struct DataSet {
    source: Source,
    len: u64,
    damaged: Mutex<BTreeMap<u64, String>>,
}

impl DataSet {
    /// Finds the images, without reading them. What the folder holds says what it is: annotations were given, it has
    /// shards, or else images, whose masks are made as `masks` says.
    pub fn open(place: impl Into<DataPlace>, masks: MaskRecipe) -> Result<Self, LoaderError> {
        let place = place.into();
        let source = if place.annotations.is_some() {
            Source::Files(ImageFiles::annotated(&place, masks)?)
        } else if holds_shards(&place.folder) {
            Source::Shards(ShardImages::open(&place.folder, masks.stored)?)
        } else {
            Source::Files(ImageFiles::in_folders(&place, masks)?)
        };
        let len = match &source {
            Source::Shards(shards) => shards.len(),
            Source::Files(files) => files.len(),
        };
        match u32::try_from(len) {
            Ok(0) => Err(LoaderError::Empty),
            Ok(_) => Ok(Self {
                source,
                len,
                damaged: Mutex::default(),
            }),
            Err(_) => Err(LoaderError::TooMany),
        }
    }

    /// Images in it, at least one.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Never: a data set without images is refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The damaged images that were met so far, and what is wrong with them.
    #[must_use]
    pub fn damaged(&self) -> BTreeMap<u64, String> {
        self.damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many were met so far.
    #[must_use]
    pub fn damaged_count(&self) -> u64 {
        let damaged = self.damaged.lock();
        damaged.unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// SHA-256 of the list of its images, which is not of their pixels: the shards' records, or paths and classes, and
    /// the annotations.
    #[must_use]
    pub fn digest(&self) -> String {
        match &self.source {
            Source::Shards(shards) => shards.digest(),
            Source::Files(files) => files.digest(),
        }
    }

    /// Whether any image can have a class.
    #[must_use]
    pub fn has_classes(&self) -> bool {
        match &self.source {
            Source::Shards(_) => true,
            Source::Files(files) => files.has_classes(),
        }
    }

    /// Ids of the annotations that nobody outlined, and what becomes of them.
    #[must_use]
    pub fn without_outline(&self) -> Option<(&[u64], WithoutOutline)> {
        match &self.source {
            Source::Shards(_) => None,
            Source::Files(files) => files.without_outline(),
        }
    }

    /// What `make` makes of an image, or of the next one where that is damaged. Where it cannot be read the fault may
    /// be the disk's: it is tried again, and then it is an error, so that batches never depend on it.
    pub(super) fn nearest_intact<T>(
        &self,
        image: u64,
        make: impl Fn(u64, &Picture) -> Result<T, LoaderError>,
    ) -> Result<T, LoaderError> {
        let mut place = image;
        loop {
            let error = match self.read(place).and_then(|picture| make(place, &picture)) {
                Ok(intact) => return Ok(intact),
                Err(error) => error,
            };
            match error.blame() {
                Blame::Image => {}
                Blame::Reading | Blame::Run => return Err(error),
            }
            let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.insert(place, error.to_string());
            if damaged.len() as u64 > self.len() / TOLERATED {
                return Err(LoaderError::Damaged {
                    damaged: damaged.len(),
                    images: self.len(),
                    last: Box::new(error),
                });
            }
            place = (place + 1) % self.len();
        }
    }

    /// The picture, after as many attempts as it takes.
    fn read(&self, image: u64) -> Result<Picture, LoaderError> {
        for attempt in 0..RETRIES {
            match self.picture(image) {
                Err(error) if error.blame() == Blame::Reading => {
                    thread::sleep(FIRST_WAIT * 2_u32.pow(attempt));
                }
                other => return other,
            }
        }
        self.picture(image)
    }

    /// The pixels of an image and its class. No mask is made.
    pub(crate) fn labelled(&self, image: u64) -> Result<(RgbImage, Option<u32>), LoaderError> {
        match &self.source {
            Source::Shards(shards) => shards.labelled(image),
            Source::Files(files) => files.labelled(image),
        }
    }

    fn picture(&self, image: u64) -> Result<Picture, LoaderError> {
        match &self.source {
            Source::Shards(shards) => shards.picture(image),
            Source::Files(files) => files.picture(image),
        }
    }
}

/// Whether this is a folder of shards. One with neither shards nor images is taken for one, which says what it lacks.
fn holds_shards(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else {
        return true;
    };
    let mut others = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let shard = name.to_str().map(str::parse::<shards::ShardName>);
        if matches!(shard, Some(Ok(_))) {
            return true;
        }
        others += usize::from(entry.path().is_dir() || is_image(Path::new(&name)));
    }
    others == 0
}
