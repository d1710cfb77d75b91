//! COCO's instance annotations as masks: which images they are of, and the label map of each. What pycocotools reads is
//! read. It refuses files that contradict themselves: a name twice, instances of no listed image, names that lead out of
//! the images' folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::regions::coco::{self, Annotation, Crowds, Kind, Segmentation};
use detcon_core::regions::{Mask, PolygonBudget, RegionError, Whole};
use detcon_core::segment::{SegmentError, SegmentMap};
use serde::{Deserialize, Serialize};

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
    #[serde(skip)]
    categories: BTreeMap<u64, String>,
}

/// What the file says about one image.
#[derive(Clone, Debug, PartialEq)]
struct Annotated {
    height: u32,
    width: u32,
    /// As many as the file's, in its order.
    instances: Vec<Instance>,
}

/// An object that somebody outlined.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its id in the file, if it has one.
    pub id: Option<u64>,
    /// Its category's id, if it has one.
    pub category: Option<u64>,
    /// Where it is.
    pub annotation: Annotation,
}

/// Why a file of annotations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationsError {
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It says nothing that could be used.
    #[error("{} holds no COCO instances that could be used: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// Why annotations say nothing about an image.
#[derive(Debug, thiserror::Error)]
pub enum Unannotated {
    /// They name other images.
    #[error("The annotations do not list it.")]
    NotListed,
    /// They are of another size.
    #[error(transparent)]
    Size(#[from] OtherSize),
    /// An outline is none.
    #[error("Its annotations cannot be drawn: {0}")]
    Region(#[from] RegionError),
    /// They make no label map.
    #[error(transparent)]
    Segmentation(#[from] SegmentError),
}

/// A mask of another size than its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Its mask is for {}x{} pixels (height x width), and the image as stored has {}x{}.",
    mask[0], mask[1], image[0], image[1]
)]
pub struct OtherSize {
    /// Height and width of the mask.
    pub mask: [u32; 2],
    /// Height and width of the image.
    pub image: [u32; 2],
}

/// The parts of the file that say where objects are.
#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<CocoInstance>,
    #[serde(default)]
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: Whole<u64>,
    name: String,
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
    category_id: Option<Whole<u64>>,
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
    pub fn read(path: &Path, without_outline: WithoutOutline) -> Result<Self, AnnotationsError> {
        let bytes = fs::read(path).map_err(|source| AnnotationsError::Io {
            path: path.to_owned(),
            source,
        })?;
        let refusal = |detail: String| AnnotationsError::Content {
            path: path.to_owned(),
            detail,
        };
        let mut file: CocoFile =
            serde_json::from_slice(&bytes).map_err(|error| refusal(error.to_string()))?;
        let categories = std::mem::take(&mut file.categories).into_iter();
        let categories = categories.map(
            |CocoCategory {
                 id: Whole(id),
                 name,
             }| (id, name),
        );
        let (images, not_outlined) = by_name(file, without_outline).map_err(refusal)?;
        Ok(Self {
            sha256: sha256(&bytes),
            without_outline,
            not_outlined,
            images,
            categories: categories.collect(),
        })
    }

    /// Ids of the instances that nobody outlined (places in the file, from 0, of those without an id), and what became
    /// of them.
    #[must_use]
    pub fn without_outline(&self) -> (&[u64], WithoutOutline) {
        (&self.not_outlined, self.without_outline)
    }

    /// What a category is called: its id where the file does not say.
    #[must_use]
    pub fn category(&self, id: u64) -> String {
        let name = self.categories.get(&id);
        name.cloned().unwrap_or_else(|| id.to_string())
    }

    /// SHA-256 of the file, and what differs from the usual.
    #[must_use]
    pub fn digest(&self) -> String {
        match self.without_outline {
            WithoutOutline::Skip => self.sha256.clone(),
            WithoutOutline::Box => format!("{} with boxes", self.sha256),
        }
    }

    /// The images, relative to their folder.
    pub fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.images.keys()
    }

    /// The instances of an image as a label map of its stored pixels. The image is looked up by its path, then by its
    /// name alone. 0 is what no instance covers; ids leave no gaps. Crowds lie lowest, so that objects are on top of
    /// them, otherwise the later is on top.
    pub fn map(&self, path: &Path, height: u32, width: u32) -> Result<SegmentMap, Unannotated> {
        let instances = self.of(path, [height, width])?.iter();
        let mut instances: Vec<_> = instances.map(|it| it.annotation.clone()).collect();
        instances.sort_by_key(|instance| instance.kind == Kind::Instance);
        let map = coco::segment_map(&instances, height, width, Crowds::Keep)?;
        Ok(map.compact())
    }

    /// The first instances of an image, at most so many, each as a map of its own: 1 where it is. They may overlap.
    pub fn objects(
        &self,
        path: &Path,
        size: [u32; 2],
        most: usize,
    ) -> Result<Vec<SegmentMap>, Unannotated> {
        let [height, width] = size;
        let masks = self.masks(path, size, most)?;
        let map = |(_, mask): (_, Mask)| {
            let mut ids = vec![0; height as usize * width as usize];
            mask.for_each_pixel(|index| ids[index] = 1);
            Ok(SegmentMap::new(height, width, ids)?)
        };
        masks.into_iter().map(map).collect()
    }

    /// The first instances of an image, at most so many, each with its pixels. They may overlap.
    pub fn masks(
        &self,
        path: &Path,
        size: [u32; 2],
        most: usize,
    ) -> Result<Vec<(&Instance, Mask)>, Unannotated> {
        let [height, width] = size;
        let mut budget = PolygonBudget::default();
        let instances = self.of(path, size)?.iter().take(most);
        let masks = instances.map(|instance| {
            let mask = instance.annotation.mask(height, width, &mut budget)?;
            Ok((instance, mask))
        });
        masks.collect()
    }

    /// The instances of an image of this height and width, in the file's order.
    fn of(&self, path: &Path, size: [u32; 2]) -> Result<&[Instance], Unannotated> {
        let by_name = || self.images.get(Path::new(path.file_name()?));
        let found = self.images.get(path).or_else(by_name);
        let found = found.ok_or(Unannotated::NotListed)?;
        let mask = [found.height, found.width];
        if mask == size {
            return Ok(&found.instances);
        }
        Err(OtherSize { mask, image: size }.into())
    }
}

/// The images by name, each with its instances in the file's order; and the ids of the instances that nobody outlined.
fn by_name(
    file: CocoFile,
    without_outline: WithoutOutline,
) -> Result<(BTreeMap<PathBuf, Annotated>, Vec<u64>), String> {
    let mut instances: BTreeMap<u64, Vec<Instance>> = BTreeMap::new();
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
        let whole = |it: Option<Whole<u64>>| it.map(|Whole(id)| id);
        of_image.extend(outline.map(|segmentation| Instance {
            id: whole(instance.id),
            category: whole(instance.category_id),
            annotation: Annotation {
                segmentation,
                kind: instance.kind,
            },
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
