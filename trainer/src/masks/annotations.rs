//! COCO's instance annotations as masks: which images they are of, and the label map of each. It refuses files that
//! contradict themselves: a name twice, instances of no listed image, names that lead out of the images' folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Component, Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::regions::coco::{self, Annotation, Crowds, Kind, Segmentation};
use detcon_core::segment::SegmentMap;
use serde::{Deserialize, Serialize};

use super::MasksError;
use super::masker::MaskFailure;

/// A file of instances (`instances_train2017.json`), read. It serializes as its digest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Annotations {
    sha256: String,
    #[serde(skip)]
    images: BTreeMap<PathBuf, Annotated>,
}

/// What the file says about one image.
#[derive(Clone, Debug, PartialEq)]
struct Annotated {
    height: u32,
    width: u32,
    /// From the lowest to the one on top.
    instances: Vec<Annotation>,
}

/// The parts of the file that say where objects are.
#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<CocoInstance>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: PathBuf,
    height: u32,
    width: u32,
}

#[derive(Deserialize)]
struct CocoInstance {
    image_id: u64,
    segmentation: Segmentation,
    #[serde(default, rename = "iscrowd")]
    kind: Kind,
}

impl Annotations {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, MasksError> {
        let bytes = fs::read(path).map_err(MasksError::io(path))?;
        let refusal = |detail: String| MasksError::Annotations {
            path: path.to_owned(),
            detail,
        };
        let file = serde_json::from_slice(&bytes).map_err(|error| refusal(error.to_string()))?;
        Ok(Self {
            sha256: sha256(&bytes),
            images: by_name(file).map_err(refusal)?,
        })
    }

    /// The images, relative to their folder.
    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.images.keys()
    }

    /// The instances of an image as a label map of its stored pixels. The image is looked up by its path, then by its
    /// name alone. 0 is what no instance covers; ids leave no gaps.
    pub(super) fn map(
        &self,
        path: &Path,
        height: u32,
        width: u32,
    ) -> Result<SegmentMap, MaskFailure> {
        let by_name = || self.images.get(Path::new(path.file_name()?));
        let found = self.images.get(path).or_else(by_name);
        let image = found.ok_or(MaskFailure::NotAnnotated)?;
        if (image.height, image.width) != (height, width) {
            return Err(MaskFailure::Size {
                mask_height: image.height,
                mask_width: image.width,
                height,
                width,
            });
        }
        let map = coco::segment_map(&image.instances, height, width, Crowds::Keep)?;
        Ok(map.compact())
    }
}

/// The images by name, each with its instances: crowds first, so that objects lie on top of them, otherwise in the
/// file's order.
fn by_name(file: CocoFile) -> Result<BTreeMap<PathBuf, Annotated>, String> {
    let mut instances: BTreeMap<u64, Vec<Annotation>> = BTreeMap::new();
    for image in &file.images {
        if instances.insert(image.id, Vec::new()).is_some() {
            return Err(format!("two images have the id {}", image.id));
        }
    }
    for instance in file.annotations {
        let id = instance.image_id;
        let unknown = || format!("an annotation is of the image {id}, which is not listed");
        instances
            .get_mut(&id)
            .ok_or_else(unknown)?
            .push(Annotation {
                segmentation: instance.segmentation,
                kind: instance.kind,
            });
    }
    let mut images = BTreeMap::new();
    for image in file.images {
        let mut instances = instances.remove(&image.id).unwrap_or_default();
        instances.sort_by_key(|instance| instance.kind == Kind::Instance);
        let name = image.file_name;
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !name.components().all(inside) {
            return Err(format!(
                "{} leads out of the images' folder",
                name.display()
            ));
        }
        match images.entry(name) {
            Entry::Vacant(place) => place.insert(Annotated {
                height: image.height,
                width: image.width,
                instances,
            }),
            Entry::Occupied(place) => {
                return Err(format!("two images are called {}", place.key().display()));
            }
        };
    }
    Ok(images)
}
