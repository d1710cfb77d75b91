//! How the images of a data set lie on the disk.

mod imagefolder;
mod imagenet;
mod list;
mod text;

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use detcon_data::image_name::is_image;

use super::{MasksError, SourceSet};
use detcon_data::shards::Split;

/// How the images of a data set lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder for each class, as torchvision's `ImageFolder` reads them: classes are numbered by name.
    ImageFolder,
    /// ImageNet (ILSVRC 2012) as upstream reads it: a folder for each synset, with the text files of the classes.
    ImageNet,
    /// A text file of paths, each with a class or without.
    List,
}

impl Layout {
    /// The layout's name on the command line and in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageFolder => "imagefolder",
            Self::ImageNet => "imagenet",
            Self::List => "list",
        }
    }

    /// What a folder holds by itself: folders of images, one for each class, or images without classes.
    pub(super) fn of_folder(input: &Path) -> Result<SourceSet, MasksError> {
        let Folder { folders, images } = Folder::read(input, Path::new(""))?;
        if folders.is_empty() && !images.is_empty() {
            return Ok(SourceSet::without_classes("flat", input, images));
        }
        imagefolder::find(input)
    }

    pub(super) fn find(
        self,
        input: &Path,
        lists: &Path,
        split: Split,
    ) -> Result<SourceSet, MasksError> {
        match self {
            Self::ImageFolder => imagefolder::find(input),
            Self::ImageNet => imagenet::find(input, lists, split),
            Self::List => list::find(input),
        }
    }
}

/// What a folder holds, by name; hidden things are left out.
struct Folder {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
}

impl Folder {
    /// Reads `root/within`; the paths found are relative to `root`. Links are followed; one that leads nowhere is taken
    /// for what its name says, so that an image is missed where images are read.
    fn read(root: &Path, within: &Path) -> Result<Self, MasksError> {
        let path = root.join(within);
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&path).map_err(MasksError::io(&path))? {
            let entry = entry.map_err(MasksError::io(&path))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = match entry.path().metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                other => Some(other.map_err(MasksError::io(entry.path()))?),
            };
            if kind.as_ref().is_some_and(Metadata::is_dir) {
                folders.push(within.join(name));
            } else if kind.is_none_or(|kind| kind.is_file()) && is_image(Path::new(&name)) {
                images.push(within.join(name));
            }
        }
        folders.sort_unstable();
        images.sort_unstable();
        Ok(Self { folders, images })
    }
}
