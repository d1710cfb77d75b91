//! One vector for each region of an image, wherever its regions come from.

use std::path::Path;
use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::RgbImage;
use detcon_core::regions::coco::{CocoRle, Counts};
use detcon_core::regions::{Mask, RegionError, RegionSet, segment_masks};
use detcon_core::segment::SegmentMap;
use detcon_data::annotations::Annotations;
use detcon_inference::{Method, Output, Space};

use super::task::{ask, label_map, label_map_name};
use super::{About, Next, Region, Task, Value};
use crate::input::Given;
use crate::place::Place;

/// Most objects of an image: as many masks as the server takes in a request.
const MOST_OBJECTS: usize = 1024;

/// The regions of every image.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Where they come from.
    pub source: RegionSource,
    /// Which vectors they have.
    pub space: Space,
    /// Whether their pixels are written too.
    pub rle: bool,
}

/// Where regions come from.
#[derive(Clone, Debug)]
pub enum RegionSource {
    /// A method.
    Made {
        /// The method.
        method: Method,
        /// What its segments are called, by id, where they are classes.
        classes: Option<Arc<[String]>>,
    },
    /// The masks that come with images.
    Shards,
    /// Label PNGs: `a/b.png` for the image `a/b.jpg`.
    LabelMaps {
        /// Where they are.
        place: Place,
        /// In which folder of it.
        folder: String,
    },
    /// Objects that people outlined.
    Annotations(Arc<Annotations>),
}

/// The regions of one image, each with what it is called.
#[derive(Clone, Debug)]
pub struct Listed {
    set: RegionSet,
    /// Ids and categories of given masks, by their places; those of a map's labels are the labels.
    names: Option<Vec<(u64, Option<String>)>>,
    /// Run lengths by place, where they are wanted.
    rle: Option<Vec<(u16, String)>>,
}

impl Regions {
    /// The features of the whole image that they are made of, if any.
    #[must_use]
    pub const fn stage(&self) -> Option<Stage> {
        match &self.source {
            RegionSource::Made { method, .. } => method.stage(),
            RegionSource::Shards
            | RegionSource::LabelMaps { .. }
            | RegionSource::Annotations(_) => None,
        }
    }

    /// Bytes that making them takes for an image of this height and width.
    pub(super) fn working_bytes(&self, height: u32, width: u32) -> u64 {
        // A label map, and its copies on the way to the grid.
        let map = u64::from(height) * u64::from(width) * 2 * size_of::<u16>() as u64;
        match &self.source {
            RegionSource::Made { method, .. } => map + method.working_bytes(height, width),
            RegionSource::Shards
            | RegionSource::LabelMaps { .. }
            | RegionSource::Annotations(_) => map,
        }
    }

    /// What is next of a decoded image.
    pub(super) fn begin(
        &self,
        task: &Arc<Task>,
        about: About,
        image: RgbImage,
        given: Option<Given>,
    ) -> Result<Next, String> {
        let listed = match &self.source {
            RegionSource::Made { method, .. } => match method.stage() {
                Some(stage) => {
                    let (task, view) = (Arc::clone(task), task.view.full());
                    let image = Arc::new(image);
                    let seen = Arc::clone(&image);
                    let then = move |tensor| made(&task, about, &seen, Some(&tensor));
                    return Ok(ask(view, &image, Output::Features(stage), then));
                }
                None => return made(task, about, &image, None),
            },
            RegionSource::Shards => self.of_map(label_map(given, &task.limits)?),
            RegionSource::LabelMaps { place, folder } => {
                let name = format!("{folder}/{}", label_map_name(&about.path));
                let png = place.read(name.trim_start_matches('/'), task.limits.bytes as u64);
                let png = png.map_err(|error| format!("Its label map: {error}."))?;
                self.of_map(label_map(Some(Given::Png(png)), &task.limits)?)
            }
            RegionSource::Annotations(annotations) => {
                match self.of_objects(annotations, &about)? {
                    Some(listed) => Ok(listed),
                    None => return Ok(Next::Done(about, Vec::new())),
                }
            }
        };
        let listed = listed.map_err(|error| error.to_string())?;
        pooled(task, about, &image, listed)
    }

    fn of_map(&self, map: SegmentMap) -> Result<Listed, RegionError> {
        let rle = if self.rle {
            let masks = segment_masks(&map)?.into_iter();
            Some(masks.map(|(id, mask)| (id, runs(&mask))).collect())
        } else {
            None
        };
        Ok(Listed {
            set: RegionSet::from_segments(map),
            names: None,
            rle,
        })
    }

    /// The objects of an image, if it has any.
    fn of_objects(
        &self,
        annotations: &Annotations,
        about: &About,
    ) -> Result<Option<Listed>, String> {
        let size = [about.height, about.width];
        let objects = annotations.masks(Path::new(&about.path), size, MOST_OBJECTS);
        let objects = objects.map_err(|error| error.to_string())?;
        if objects.is_empty() {
            return Ok(None);
        }
        let names = (0..).zip(&objects).map(|(place, (instance, _))| {
            let category = instance.category;
            let category = category.map(|id| annotations.category(id));
            (instance.id.unwrap_or(place), category)
        });
        let names = names.collect();
        let masks: Vec<Mask> = objects.into_iter().map(|(_, mask)| mask).collect();
        let rle = self.rle.then(|| {
            let runs = masks.iter().map(runs);
            (0..=u16::MAX).zip(runs).collect()
        });
        let set = RegionSet::from_masks(masks).map_err(|error| error.to_string())?;
        Ok(Some(Listed {
            set,
            names: Some(names),
            rle,
        }))
    }
}

/// What is next of an image whose regions a method makes.
fn made(
    task: &Arc<Task>,
    about: About,
    image: &RgbImage,
    features: Option<&Tensor>,
) -> Result<Next, String> {
    let super::Product::Regions(regions) = &task.product else {
        return Err("No regions are asked for.".to_owned());
    };
    let RegionSource::Made { method, .. } = &regions.source else {
        return Err("No method is asked for.".to_owned());
    };
    let map = method
        .segment(image, features)
        .map_err(|error| error.to_string())?;
    let listed = regions.of_map(map).map_err(|error| error.to_string())?;
    pooled(task, about, image, listed)
}

/// Asks for c5, and pools it over the cells that each region wins.
fn pooled(
    task: &Arc<Task>,
    about: About,
    image: &RgbImage,
    listed: Listed,
) -> Result<Next, String> {
    let told = |error: RegionError| error.to_string();
    let spec = task.network.manifest().spec;
    listed
        .set
        .check_size(image.height(), image.width())
        .map_err(told)?;
    let cells = task.view.cells(image, spec).map_err(told)?;
    let cells = listed.set.on_grid(&cells).map_err(told)?;
    let kept = Arc::clone(task);
    let then = move |tensor: Tensor| {
        let values = values(&kept, &listed, &cells, &tensor).map_err(told)?;
        Ok(Next::Done(about, values))
    };
    Ok(ask(task.view, image, Output::Features(Stage::C5), then))
}

fn values(
    task: &Task,
    listed: &Listed,
    cells: &detcon_core::regions::RegionCells,
    features: &Tensor,
) -> Result<Vec<Value>, RegionError> {
    let super::Product::Regions(Regions { space, source, .. }) = &task.product else {
        return Ok(Vec::new());
    };
    let found = task.network.regions(&listed.set, cells, features, *space)?;
    let classes = match source {
        RegionSource::Made { classes, .. } => classes.as_deref(),
        RegionSource::Shards | RegionSource::LabelMaps { .. } | RegionSource::Annotations(_) => {
            None
        }
    };
    let value = |region: detcon_inference::Region| {
        let place = usize::from(region.id);
        let named = listed.names.as_ref().and_then(|names| names.get(place));
        let (id, category) = match named {
            Some((id, category)) => (*id, category.clone()),
            None => (
                region.id.into(),
                classes.and_then(|classes| classes.get(place)).cloned(),
            ),
        };
        let rle = listed.rle.as_ref().and_then(|all| {
            let at = all.binary_search_by_key(&region.id, |(id, _)| *id).ok()?;
            Some(all[at].1.clone())
        });
        Value::Region {
            region: Region {
                id,
                bounds: region.bounds,
                area: region.area,
                cells: region.cells,
                category,
                rle,
            },
            embedding: task.float.of(region.embedding),
        }
    };
    Ok(found.regions.into_iter().map(value).collect())
}

/// A mask's compressed run lengths.
fn runs(mask: &Mask) -> String {
    match CocoRle::from(mask).counts {
        Counts::Compressed(text) => text,
        Counts::Plain(_) => String::new(), // masks are written compressed
    }
}
