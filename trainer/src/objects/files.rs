//! The same kind of images as files: a folder for each class, and images with label PNGs.

use std::fs;
use std::path::Path;

use detcon_core::segment::SegmentMap;

use super::picture::Picture;
use super::thing::class_names;
use super::{ObjectsError, SIDE};
use crate::random::stream;

/// Every so many-th image of a class is a test image.
const TEST: u64 = 5;

/// Draws `images` with one object into `classes/train/CLASS` and `classes/test/CLASS`, and as many with two or three
/// before a busy ground into `segmentation/images` with their label PNGs in `segmentation/labels`, where 0 is the
/// background and a class's id is one more than its number; `segmentation/classes.txt` names them. The same count draws
/// the same images.
pub fn draw_files(folder: &Path, images: u64) -> Result<(), ObjectsError> {
    let names = class_names();
    for image in 0..images {
        let mut random = stream(0, "objects in files", &[image]);
        let picture = Picture::portrait(&mut random);
        let (jpeg, _) = picture.paint(&mut random)?;
        let split = if image % TEST == 0 { "test" } else { "train" };
        let class = &names[picture.classes()[0] as usize];
        let place = folder.join("classes").join(split).join(class);
        write(&place.join(format!("{image:06}.jpg")), &jpeg)?;
    }
    let folder = folder.join("segmentation");
    for image in 0..images {
        let mut random = stream(0, "objects with labels", &[image]);
        let picture = Picture::scene(&mut random);
        let (jpeg, ids) = picture.paint(&mut random)?;
        let classes = picture.classes();
        let class = |id: u16| match classes.get(usize::from(id).wrapping_sub(1)) {
            Some(class) => u16::try_from(1 + class).unwrap_or(u16::MAX),
            None => 0,
        };
        let labels = SegmentMap::new(
            SIDE.into(),
            SIDE.into(),
            ids.into_iter().map(class).collect(),
        );
        write(&folder.join(format!("images/{image:06}.jpg")), &jpeg)?;
        write(
            &folder.join(format!("labels/{image:06}.png")),
            &labels?.to_png(),
        )?;
    }
    let lines = ["background".to_owned()].into_iter().chain(names);
    let lines: String = lines.map(|name| name + "\n").collect();
    write(&folder.join("classes.txt"), lines.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ObjectsError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use detcon_core::image::ImageLimits;

    use super::*;

    #[test]
    fn labels_are_of_the_classes_that_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        draw_files(folder.path(), 30).unwrap();
        let segmentation = folder.path().join("segmentation");
        let names = fs::read_to_string(segmentation.join("classes.txt")).unwrap();
        let names: Vec<&str> = names.lines().collect();
        assert_eq!(names.len(), 13);
        let mut seen = BTreeSet::new();
        for image in 0..30 {
            assert!(
                segmentation
                    .join(format!("images/{image:06}.jpg"))
                    .is_file()
            );
            let label = fs::read(segmentation.join(format!("labels/{image:06}.png"))).unwrap();
            let label = SegmentMap::from_png(&label, &ImageLimits::default()).unwrap();
            assert!((2..=4).contains(&label.distinct().len()));
            seen.extend(label.distinct());
        }
        assert!(seen.len() > 8 && seen.last() <= Some(&12), "{seen:?}");
        let count = |split: &str| -> usize {
            let folders = fs::read_dir(folder.path().join("classes").join(split)).unwrap();
            let folders = folders.map(|entry| entry.unwrap().path());
            folders
                .inspect(|path| {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert!(names[1..].contains(&name), "{name}");
                })
                .map(|path| fs::read_dir(path).unwrap().count())
                .sum()
        };
        assert_eq!((count("train"), count("test")), (24, 6));
    }
}
