//! Photographs to calibrate on and to measure on: decoded as data sets are, preprocessed as the model asks.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::image::{ImageError, ImageLimits, decode_stored};
use detcon_core::preprocess::Preprocess;

use super::QuantizeError;
use crate::progress::counting;

/// Of a folder that is both calibrated and measured on, one photograph in so many is held out.
const HELD_OUT_EVERY: usize = 4;

/// A folder's photographs as the graph takes them.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) photographs: Vec<Photograph>,
    pub(super) set_aside: Vec<SetAside>,
}

/// One photograph.
#[derive(Clone, Debug)]
pub(super) struct Photograph {
    /// The file's path without its ending: the same picture in two formats must not be on both sides of a split.
    stem: PathBuf,
    /// uint8 RGB of `[side, side, 3]`.
    pub(super) pixels: Vec<u8>,
    pub(super) side: usize,
}

/// A file that is no photograph.
#[derive(Debug)]
pub struct SetAside {
    /// The file.
    pub path: PathBuf,
    /// What the decoder said.
    pub reason: ImageError,
}

impl Folder {
    /// Reads at most `most` photographs of `folder` and the folders in it, spread evenly over their sorted paths.
    pub(super) fn read(
        folder: &Path,
        preprocess: Preprocess,
        most: usize,
    ) -> Result<Self, QuantizeError> {
        let mut paths = Vec::new();
        walk(folder, &mut paths)?;
        let (mut photographs, mut set_aside) = (Vec::new(), Vec::new());
        let bar = counting("reading photographs", paths.len().min(most));
        for path in spread(&paths, most) {
            bar.advance();
            let bytes = fs::read(path).map_err(|source| unreadable(path, source))?;
            match decode_stored(&bytes, &ImageLimits::default()) {
                Ok(image) => photographs.push(Photograph {
                    stem: path.with_extension(""),
                    pixels: preprocess.apply(&image).into_pixels(),
                    side: preprocess.size() as usize,
                }),
                Err(reason) => set_aside.push(SetAside {
                    path: path.clone(),
                    reason,
                }),
            }
        }
        let files = set_aside.len();
        match (photographs.is_empty(), set_aside.first()) {
            (false, _) => Ok(Self {
                photographs,
                set_aside,
            }),
            (true, Some(first)) => Err(QuantizeError::NoPhotograph {
                folder: folder.to_owned(),
                files,
                first: first.path.clone(),
                reason: first.reason.clone(),
            }),
            (true, None) => Err(QuantizeError::Empty {
                folder: folder.to_owned(),
            }),
        }
    }

    /// Holds out one picture in four, the last of each four (of fewer, the last), and leaves the others.
    pub(super) fn hold_out(&mut self, folder: &Path) -> Result<Vec<Photograph>, QuantizeError> {
        let mut stems: Vec<_> = self.photographs.iter().map(|it| it.stem.clone()).collect();
        stems.sort();
        stems.dedup();
        let every = HELD_OUT_EVERY.min(stems.len());
        if every < 2 {
            return Err(QuantizeError::NothingHeldOut {
                folder: folder.to_owned(),
            });
        }
        let is_held = |photograph: &mut Photograph| {
            let place = stems.binary_search(&photograph.stem);
            place.is_ok_and(|place| place % every == every - 1)
        };
        Ok(self.photographs.extract_if(.., is_held).collect())
    }
}

/// Every file below `folder`, sorted by path. Hidden ones are the file manager's, not the user's.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), QuantizeError> {
    let unreadable = |source| unreadable(folder, source);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}

/// At most `most` of `paths`, evenly spaced.
fn spread(paths: &[PathBuf], most: usize) -> impl Iterator<Item = &PathBuf> {
    let count = paths.len().min(most);
    (0..count).map(move |i| &paths[i * paths.len() / count])
}

fn unreadable(path: &Path, source: std::io::Error) -> QuantizeError {
    QuantizeError::Folder {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(stems: &[&str]) -> Folder {
        let photograph = |stem: &&str| Photograph {
            stem: stem.into(),
            pixels: vec![0; 3],
            side: 1,
        };
        Folder {
            photographs: stems.iter().map(photograph).collect(),
            set_aside: Vec::new(),
        }
    }

    fn stems(photographs: &[Photograph]) -> Vec<&str> {
        let stems = photographs.iter().map(|it| it.stem.to_str().unwrap());
        stems.collect()
    }

    #[test]
    fn one_picture_in_four_is_held_out_in_all_its_formats() {
        let mut folder = folder(&["a", "b", "c", "d", "d", "e"]);
        let held_out = folder.hold_out(Path::new("folder")).unwrap();
        assert_eq!(stems(&held_out), ["d", "d"]);
        assert_eq!(stems(&folder.photographs), ["a", "b", "c", "e"]);
    }

    #[test]
    fn of_two_pictures_one_is_held_out_and_of_one_none_can_be() {
        let held_out = folder(&["a", "b"]).hold_out(Path::new("folder")).unwrap();
        assert_eq!(stems(&held_out), ["b"]);
        assert!(matches!(
            folder(&["a", "a"]).hold_out(Path::new("folder")),
            Err(QuantizeError::NothingHeldOut { .. })
        ));
    }

    #[test]
    fn files_are_taken_from_the_whole_folder() {
        let paths: Vec<PathBuf> = (0..10).map(|i| PathBuf::from(i.to_string())).collect();
        let taken = |most| -> Vec<_> {
            spread(&paths, most)
                .map(|it| it.to_str().unwrap())
                .collect()
        };
        assert_eq!(taken(3), ["0", "3", "6"]);
        assert_eq!(taken(100).len(), 10);
    }
}
