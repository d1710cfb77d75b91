//! Images with label PNGs: an image's label is the PNG of the same stem in the labels' folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::image::{ImageLimits, RgbImage, decode};
use detcon_core::segment::SegmentMap;

use super::FinetuneError;
use detcon_data::image_name::is_image;

/// Where images and their labels lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledFolder {
    /// Folder of images.
    pub images: PathBuf,
    /// Folder of label PNGs: gray or palette, whose samples are class ids.
    pub labels: PathBuf,
}

/// An image and its label, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    image: PathBuf,
    label: PathBuf,
}

/// What ids mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    /// Classes, from 0.
    pub(super) classes: usize,
    /// The id that counts for nothing.
    pub(super) ignored: u16,
}

impl LabelledFolder {
    /// The images with their labels, by name. One without a label is an error unless those are skipped.
    pub(super) fn pairs(&self, skip_unlabelled: bool) -> Result<Vec<Pair>, FinetuneError> {
        let mut images: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let failed = |source| FinetuneError::Io {
            path: self.images.clone(),
            source,
        };
        for entry in fs::read_dir(&self.images).map_err(failed)? {
            let image = entry.map_err(failed)?.path();
            let hidden = image
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || !is_image(&image) || !image.is_file() {
                continue;
            }
            let mut label = self.labels.join(image.file_stem().unwrap_or_default());
            label.as_mut_os_string().push(".png");
            if let Some(first) = images.insert(label, image.clone()) {
                let second = image;
                return Err(FinetuneError::Ambiguous { first, second });
            }
        }
        if images.is_empty() {
            let folder = self.images.clone();
            return Err(FinetuneError::NoImages { folder });
        }
        let (labelled, unlabelled): (Vec<_>, Vec<_>) = images
            .into_iter()
            .map(|(label, image)| Pair { image, label })
            .partition(|pair| pair.label.is_file());
        match unlabelled.first() {
            Some(first) if !skip_unlabelled || labelled.is_empty() => {
                Err(FinetuneError::Unlabelled {
                    images: unlabelled.len(),
                    folder: self.images.clone(),
                    first: first.image.clone(),
                    expected: first.label.clone(),
                })
            }
            _ => Ok(labelled),
        }
    }

    /// The name of the images' folder.
    pub(super) fn name(&self) -> String {
        name(&self.images)
    }
}

fn name(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let whole = whole.as_deref().unwrap_or(folder);
    whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Pair {
    /// The image as the server decodes it, and the id of each of its pixels.
    pub(super) fn read(&self, ids: Ids) -> Result<(RgbImage, SegmentMap), FinetuneError> {
        let limits = ImageLimits::default();
        let pixels = decode(&read(&self.image)?, &limits);
        let pixels = pixels.map_err(|source| FinetuneError::Image {
            path: self.image.clone(),
            source,
        })?;
        let label = SegmentMap::from_png(&read(&self.label)?, &limits);
        let label = label.map_err(|source| FinetuneError::Label {
            path: self.label.clone(),
            source,
        })?;
        let (height, width) = (pixels.height(), pixels.width());
        if (label.height(), label.width()) != (height, width) {
            return Err(FinetuneError::Size {
                path: self.label.clone(),
                found_height: label.height(),
                found_width: label.width(),
                height,
                width,
            });
        }
        let known = |id: u16| id == ids.ignored || usize::from(id) < ids.classes;
        match label.ids().iter().position(|&id| !known(id)) {
            None => Ok((pixels, label)),
            Some(place) => Err(FinetuneError::Id {
                path: self.label.clone(),
                id: label.ids()[place],
                row: place / width as usize,
                column: place % width as usize,
                classes: ids.classes,
                ignored: ids.ignored,
            }),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FinetuneError> {
    fs::read(path).map_err(|source| FinetuneError::Io {
        path: path.to_owned(),
        source,
    })
}
