//! A folder for each class. It refuses a folder without any, and folders nested so deep that they must be a loop.

use std::path::{Path, PathBuf};

use super::Folder;
use crate::masks::source::{Class, SourceImage, SourceSet};
use crate::masks::{Layout, MasksError};

/// Deepest folder below a class. Links are followed, and one may lead back to a folder above it.
const DEPTH: usize = 32;

/// Finds every image in or below each class's folder. Classes are numbered in the order of their names' bytes, as
/// Python sorts them.
pub(super) fn find(input: &Path) -> Result<SourceSet, MasksError> {
    let top = Folder::read(input, Path::new(""))?;
    let mut set = SourceSet {
        layout: Layout::ImageFolder.name(),
        root: input.to_owned(),
        classes: Vec::new(),
        images: Vec::new(),
    };
    if top.folders.is_empty() {
        return Err(MasksError::Layout {
            path: input.to_owned(),
            detail: "it has no folders, one for each class: images without classes go into a list (--layout list)"
                .to_owned(),
        });
    }
    for (label, folder) in (0..).zip(top.folders) {
        let name = folder.to_string_lossy().into_owned();
        set.classes.push(Class {
            label: Some(label),
            synset: name.clone(),
            text: name,
        });
        collect(&mut set, folder, 0)?;
    }
    Ok(set)
}

/// Adds what is in `folder` to the last class.
fn collect(set: &mut SourceSet, folder: PathBuf, depth: usize) -> Result<(), MasksError> {
    if depth > DEPTH {
        return Err(MasksError::Layout {
            path: set.root.join(folder),
            detail: format!(
                "it is more than {DEPTH} folders deep: a link may lead back to a folder above"
            ),
        });
    }
    let class = set.classes.len() - 1;
    let Folder { folders, images } = Folder::read(&set.root, &folder)?;
    let images = images.into_iter().map(|path| SourceImage { path, class });
    set.images.extend(images);
    for folder in folders {
        collect(set, folder, depth + 1)?;
    }
    Ok(())
}
