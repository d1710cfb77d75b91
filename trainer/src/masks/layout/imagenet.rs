//! ImageNet (ILSVRC 2012) as upstream reads it. It refuses classes without a name, and folders of no class.
//!
//! Upstream's builder is told three text files and finds images as `SYNSET/*.JPEG`, in the train split and, moved there
//! before by another script, in the validation split. Here validation images may also lie in one folder, as they come.

use std::collections::BTreeMap;
use std::path::Path;

use super::Folder;
use super::text::TextFile;
use crate::masks::source::{Class, SourceImage, SourceSet};
use crate::masks::{Layout, MasksError};
use detcon_data::shards::Split;

/// The synset of each class on a line of its own; the line's number is the stored label.
const SYNSETS: &str = "imagenet_lsvrc_2015_synsets.txt";
/// `SYNSET<tab>name in words`.
const METADATA: &str = "imagenet_metadata.txt";
/// The synset of each validation image: line 1 is that of `ILSVRC2012_val_00000001.JPEG`.
const VALIDATION_SYNSETS: &str = "imagenet_2012_validation_synset_labels.txt";

/// Finds the images of a split in `input`, with the text files in `lists`.
pub(super) fn find(input: &Path, lists: &Path, split: Split) -> Result<SourceSet, MasksError> {
    let (classes, places) = classes(lists)?;
    let mut set = SourceSet {
        layout: Layout::ImageNet.name(),
        root: input.to_owned(),
        classes,
        images: Vec::new(),
    };
    let Folder { folders, images } = Folder::read(input, Path::new(""))?;
    for folder in folders {
        let class = folder.to_str().and_then(|name| places.get(name));
        let class = *class.ok_or_else(|| MasksError::Layout {
            path: input.join(&folder),
            detail: format!("no line of {SYNSETS} names this folder"),
        })?;
        let images = Folder::read(input, &folder)?.images;
        let images = images.into_iter().map(|path| SourceImage { path, class });
        set.images.extend(images);
    }
    match (split, images.is_empty()) {
        (_, true) => {}
        (Split::Train, false) => {
            return Err(MasksError::Layout {
                path: input.to_owned(),
                detail:
                    "images of the train split lie in their synset's folder, not beside the folders"
                        .to_owned(),
            });
        }
        (Split::Validation, false) => {
            let synsets = ValidationSynsets::read(lists, &places)?;
            for path in images {
                let class = synsets.class(input, &path)?;
                set.images.push(SourceImage { path, class });
            }
        }
    }
    Ok(set)
}

type Places = BTreeMap<String, usize>;

fn classes(lists: &Path) -> Result<(Vec<Class>, Places), MasksError> {
    let names = names(lists)?;
    let synsets = TextFile::read(lists.join(SYNSETS))?;
    let (mut classes, mut places) = (Vec::new(), Places::new());
    for (label, (number, line)) in (0..).zip(synsets.lines()) {
        let synset = line.trim().to_owned();
        let text = names.get(&synset).cloned().ok_or_else(|| {
            synsets.refusal(number, format!("{METADATA} has no name for {synset}"))
        })?;
        if places.insert(synset.clone(), classes.len()).is_some() {
            return Err(synsets.refusal(number, format!("{synset} is there twice")));
        }
        classes.push(Class {
            label: Some(label),
            synset,
            text,
        });
    }
    Ok((classes, places))
}

fn names(lists: &Path) -> Result<BTreeMap<String, String>, MasksError> {
    let metadata = TextFile::read(lists.join(METADATA))?;
    let mut names = BTreeMap::new();
    for (number, line) in metadata.lines() {
        let (synset, text) = line
            .trim()
            .split_once('\t')
            .filter(|(_, text)| !text.contains('\t'))
            .ok_or_else(|| metadata.refusal(number, "it is not SYNSET<tab>name"))?;
        names.insert(synset.to_owned(), text.to_owned());
    }
    Ok(names)
}

/// The class of each validation image, in the order of their numbers from 1.
struct ValidationSynsets(Vec<usize>);

impl ValidationSynsets {
    fn read(lists: &Path, places: &Places) -> Result<Self, MasksError> {
        let synsets = TextFile::read(lists.join(VALIDATION_SYNSETS))?;
        let classes = synsets.lines().map(|(number, line)| {
            let class = places.get(line.trim());
            let unknown = || format!("{SYNSETS} does not list {}", line.trim());
            class
                .copied()
                .ok_or_else(|| synsets.refusal(number, unknown()))
        });
        classes.collect::<Result<_, _>>().map(Self)
    }

    /// The class of `ILSVRC2012_val_00000293.JPEG`.
    fn class(&self, input: &Path, image: &Path) -> Result<usize, MasksError> {
        let stem = image.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.strip_prefix("ILSVRC2012_val_"));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let place = number.and_then(|number| number.checked_sub(1));
        let class = place.and_then(|place| self.0.get(place));
        class.copied().ok_or_else(|| MasksError::Layout {
            path: input.join(image),
            detail: format!(
                "it is not ILSVRC2012_val_NUMBER.JPEG with the number of a line of {VALIDATION_SYNSETS}"
            ),
        })
    }
}
