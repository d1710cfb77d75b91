//! A text file of paths: `PATH` or `PATH<tab>CLASS` on each line. It refuses classes that are no numbers from 1.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use super::text::TextFile;
use crate::masks::source::{Class, SourceImage, SourceSet};
use crate::masks::{Layout, MasksError};

/// Reads a list. Paths are relative to the list's folder; classes count from 1, as shards store them.
pub(super) fn find(input: &Path) -> Result<SourceSet, MasksError> {
    let list = TextFile::read(input.to_owned())?;
    let mut set = SourceSet {
        layout: Layout::List.name(),
        root: input.parent().unwrap_or(Path::new("")).to_owned(),
        classes: Vec::new(),
        images: Vec::new(),
    };
    let mut places = BTreeMap::new();
    for (number, line) in list.lines() {
        let (path, stored) = match line.split_once('\t') {
            Some((path, class)) => {
                let class = class.trim().parse::<NonZeroU32>();
                let stored = class.map_err(|_| {
                    list.refusal(number, "after the tab comes the class, a number from 1")
                })?;
                (path, Some(stored))
            }
            None => (line, None),
        };
        let class = *places.entry(stored).or_insert_with(|| {
            set.classes.push(Class {
                label: stored.map(|stored| stored.get() - 1),
                synset: String::new(),
                text: String::new(),
            });
            set.classes.len() - 1
        });
        let path = path.trim_end().into();
        set.images.push(SourceImage { path, class });
    }
    Ok(set)
}
