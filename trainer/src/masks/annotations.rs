//! COCO's instance annotations as masks: which images they are of, and the label map of each. What pycocotools reads is
//! read. It refuses files that contradict themselves: a name twice, instances of no listed image, names that lead out of
//! the images' folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Component, Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::regions::Whole;
use detcon_core::regions::coco::{self, Annotation, Crowds, Kind, Segmentation};
use detcon_core::segment::SegmentMap;
use serde::{Deserialize, Serialize};

use super::MasksError;
use super::masker::MaskFailure;

/// What becomes of an instance that nobody outlined: it has a box, and no segmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutOutline {
    /// It is left out.
    #[default]
    Skip,
    /// Its box is its outline, as in `loadRes` of pycocotools' `coco.py`.
    Box,
}

impl WithoutOutline {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    fn is_skip(&self) -> bool {
        *self == Self::Skip
    }
}

/// A file of instances (`instances_train2017.json`), read. It serializes as its digest, and what differs from the usual.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Annotations {
    sha256: String,
    #[serde(skip_serializing_if = "WithoutOutline::is_skip")]
    without_outline: WithoutOutline,
    #[serde(skip)]
    not_outlined: Vec<u64>,
    #[serde(skip)]
    images: BTreeMap<PathBuf, Annotated>,
}

/// What the file says about one image.
#[derive(Clone, Debug, PartialEq)]
struct Annotated {
    height: u32,
    width: u32,
    /// As many as the file's, in its order.
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
    id: Whole<u64>,
    file_name: PathBuf,
    height: Whole<u32>,
    width: Whole<u32>,
}

#[derive(Deserialize)]
struct CocoInstance {
    id: Option<Whole<u64>>,
    image_id: Whole<u64>,
    segmentation: Option<Segmentation>,
    /// `x, y, width, height`.
    bbox: Option<[f64; 4]>,
    #[serde(default, rename = "iscrowd")]
    kind: Kind,
}

impl CocoInstance {
    /// Its outline, where somebody drew one.
    fn outline(&mut self) -> Option<Segmentation> {
        match self.segmentation.take() {
            Some(Segmentation::Polygons(polygons)) if polygons.is_empty() => None,
            other => other,
        }
    }

    fn outlined_box(&self) -> Option<Segmentation> {
        let [x, y, width, height] = self.bbox?;
        let (right, bottom) = (x + width, y + height);
        let corners = vec![x, y, x, bottom, right, bottom, right, y];
        Some(Segmentation::Polygons(vec![corners]))
    }
}

impl Annotations {
    /// Reads the file.
    pub fn read(path: &Path, without_outline: WithoutOutline) -> Result<Self, MasksError> {
        let bytes = fs::read(path).map_err(MasksError::io(path))?;
        let refusal = |detail: String| MasksError::Annotations {
            path: path.to_owned(),
            detail,
        };
        let file = serde_json::from_slice(&bytes).map_err(|error| refusal(error.to_string()))?;
        let (images, not_outlined) = by_name(file, without_outline).map_err(refusal)?;
        Ok(Self {
            sha256: sha256(&bytes),
            without_outline,
            not_outlined,
            images,
        })
    }

    /// Ids of the instances that nobody outlined (places in the file, from 0, of those without an id), and what became
    /// of them.
    #[must_use]
    pub fn without_outline(&self) -> (&[u64], WithoutOutline) {
        (&self.not_outlined, self.without_outline)
    }

    /// SHA-256 of the file, and what differs from the usual.
    #[cfg(feature = "torch")]
    pub(crate) fn digest(&self) -> String {
        match self.without_outline {
            WithoutOutline::Skip => self.sha256.clone(),
            WithoutOutline::Box => format!("{} with boxes", self.sha256),
        }
    }

    /// The images, relative to their folder.
    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.images.keys()
    }

    /// The instances of an image as a label map of its stored pixels. The image is looked up by its path, then by its
    /// name alone. 0 is what no instance covers; ids leave no gaps. Crowds lie lowest, so that objects are on top of
    /// them, otherwise the later is on top.
    pub(super) fn map(
        &self,
        path: &Path,
        height: u32,
        width: u32,
    ) -> Result<SegmentMap, MaskFailure> {
        let mut instances = self.of(path, [height, width])?.instances.clone();
        instances.sort_by_key(|instance| instance.kind == Kind::Instance);
        let map = coco::segment_map(&instances, height, width, Crowds::Keep)?;
        Ok(map.compact())
    }

    /// The first instances of an image, at most so many, each as a map of its own: 1 where it is. They may overlap.
    #[cfg(feature = "torch")]
    pub(crate) fn objects(
        &self,
        path: &Path,
        [height, width]: [u32; 2],
        most: usize,
    ) -> Result<Vec<SegmentMap>, MaskFailure> {
        let instances = &self.of(path, [height, width])?.instances;
        let mut budget = detcon_core::regions::PolygonBudget::default();
        let map = |instance: &Annotation| {
            let mut ids = vec![0; height as usize * width as usize];
            let mask = instance.mask(height, width, &mut budget)?;
            mask.for_each_pixel(|index| ids[index] = 1);
            Ok(SegmentMap::new(height, width, ids)?)
        };
        instances.iter().take(most).map(map).collect()
    }

    fn of(&self, path: &Path, [height, width]: [u32; 2]) -> Result<&Annotated, MaskFailure> {
        let by_name = || self.images.get(Path::new(path.file_name()?));
        let found = self.images.get(path).or_else(by_name);
        let image = found.ok_or(MaskFailure::NotAnnotated)?;
        if (image.height, image.width) == (height, width) {
            return Ok(image);
        }
        Err(MaskFailure::Size {
            mask_height: image.height,
            mask_width: image.width,
            height,
            width,
        })
    }
}

/// The images by name, each with its instances in the file's order; and the ids of the instances that nobody outlined.
fn by_name(
    file: CocoFile,
    without_outline: WithoutOutline,
) -> Result<(BTreeMap<PathBuf, Annotated>, Vec<u64>), String> {
    let mut instances: BTreeMap<u64, Vec<Annotation>> = BTreeMap::new();
    for Whole(id) in file.images.iter().map(|image| image.id) {
        if instances.insert(id, Vec::new()).is_some() {
            return Err(format!("two images have the id {id}"));
        }
    }
    let mut not_outlined = Vec::new();
    for (place, mut instance) in (0..).zip(file.annotations) {
        let Whole(id) = instance.image_id;
        let of_image = instances.get_mut(&id);
        let of_image = of_image
            .ok_or_else(|| format!("an annotation is of the image {id}, which is not listed"))?;
        let mut outline = instance.outline();
        if outline.is_none() {
            not_outlined.push(instance.id.map_or(place, |Whole(id)| id));
            outline = match without_outline {
                WithoutOutline::Skip => None,
                WithoutOutline::Box => instance.outlined_box(),
            };
        }
        of_image.extend(outline.map(|segmentation| Annotation {
            segmentation,
            kind: instance.kind,
        }));
    }
    let mut images = BTreeMap::new();
    for image in file.images {
        let Whole(id) = image.id;
        let name = inside(&image.file_name)?;
        let (Whole(height), Whole(width)) = (image.height, image.width);
        match images.entry(name) {
            Entry::Vacant(place) => place.insert(Annotated {
                height,
                width,
                instances: instances.remove(&id).unwrap_or_default(),
            }),
            Entry::Occupied(place) => {
                return Err(format!("two images are called {}", place.key().display()));
            }
        };
    }
    Ok((images, not_outlined))
}

/// A name within the images' folder, without `./`.
fn inside(name: &Path) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => path.push(part),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!(
                    "{} leads out of the images' folder",
                    name.display()
                ));
            }
        }
    }
    if path.as_os_str().is_empty() {
        return Err(format!("an image is called {:?}", name.display()));
    }
    Ok(path)
}
