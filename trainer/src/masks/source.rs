//! The images of a data set, their classes, and their order.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_data::annotations::Annotations;
use sha2::{Digest as _, Sha256};

use super::{Layout, MasksError};
use detcon_data::shards::Split;

/// A class of images, as it is stored with each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// From 0; nothing for images without a class.
    pub label: Option<u32>,
    /// Short name.
    pub synset: String,
    /// Name in words.
    pub text: String,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// Its file, relative to the set's root.
    pub path: PathBuf,
    /// Its class, which [`SourceSet::class`] looks up.
    pub class: usize,
}

/// Every image of a split, in the order in which they are written.
#[derive(Clone, Debug)]
pub struct SourceSet {
    /// How the images were found, as manifests name it.
    pub(super) layout: &'static str,
    pub(super) root: PathBuf,
    pub(super) classes: Vec<Class>,
    pub(super) images: Vec<SourceImage>,
}

impl SourceSet {
    /// Finds the images of `input` and shuffles them: they are sorted by SHA-256(seed, path), so the order depends on
    /// the seed and the paths alone, and on no machine. (Upstream shuffles a copy and writes images sorted by class.)
    ///
    /// `lists` is the folder of ImageNet's text files, by default the input itself.
    pub fn find(
        layout: Layout,
        input: &Path,
        lists: Option<&Path>,
        split: Split,
        seed: u64,
    ) -> Result<Self, MasksError> {
        let set = layout.find(input, lists.unwrap_or(input), split)?;
        set.shuffled(input, seed)
    }

    /// The images of a folder: in folders for each class where it has any, or else those that lie in it, without
    /// classes.
    pub fn in_folder(input: &Path, seed: u64) -> Result<Self, MasksError> {
        Layout::of_folder(input)?.shuffled(input, seed)
    }

    /// The images that annotations are of, in the folder `input`, without classes; shuffled as by [`Self::find`].
    pub fn annotated(
        annotations: &Annotations,
        input: &Path,
        seed: u64,
    ) -> Result<Self, MasksError> {
        let names = annotations.names().cloned();
        Self::without_classes("annotations", input, names.collect()).shuffled(input, seed)
    }

    /// These images, without classes.
    pub(super) fn without_classes(
        layout: &'static str,
        input: &Path,
        images: Vec<PathBuf>,
    ) -> Self {
        let none = Class {
            label: None,
            synset: String::new(),
            text: String::new(),
        };
        let images = images.into_iter();
        Self {
            layout,
            root: input.to_owned(),
            classes: vec![none],
            images: images.map(|path| SourceImage { path, class: 0 }).collect(),
        }
    }

    fn shuffled(mut self, input: &Path, seed: u64) -> Result<Self, MasksError> {
        if self.images.is_empty() {
            let path = input.to_owned();
            return Err(MasksError::NoImages { path });
        }
        self.images.sort_by_cached_key(|image| {
            let mut hasher = Sha256::new_with_prefix(seed.to_le_bytes());
            hasher.update(image.path.as_os_str().as_encoded_bytes());
            <[u8; 32]>::from(hasher.finalize())
        });
        Ok(self)
    }

    /// How many images there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The images in the order in which they are written.
    #[must_use]
    pub fn images(&self) -> &[SourceImage] {
        &self.images
    }

    /// The class of an image of this set.
    #[must_use]
    pub fn class(&self, image: &SourceImage) -> &Class {
        &self.classes[image.class]
    }

    /// The bytes of an image's file; of a longer one, one byte more than `limit`.
    pub(crate) fn read(&self, image: &SourceImage, limit: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.root.join(&image.path))?;
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// SHA-256 of every path and class in order. Not of the images' contents, which would take as long as the run.
    pub(crate) fn digest(&self) -> String {
        let mut all = Vec::new();
        for image in &self.images {
            let class = self.class(image);
            for text in [&class.synset, &class.text] {
                all.extend(sha256(text.as_bytes()).bytes());
            }
            all.extend(
                class
                    .label
                    .map_or(0, |label| u64::from(label) + 1)
                    .to_le_bytes(),
            );
            all.extend(image.path.as_os_str().as_encoded_bytes());
            all.push(0);
        }
        sha256(&all)
    }
}
