//! Where the regions of a request come from: a label PNG, boxes, run lengths, or a method. It refuses several of them
//! at once, and more boxes or masks than [`MAX_REGIONS`].

use std::sync::Arc;

use bytes::Bytes;
use detcon_core::image::{ImageLimits, RgbImage};
use detcon_core::regions::coco::CocoRle;
use detcon_core::regions::{Mask, PolygonBudget, RegionError, RegionSet};
use detcon_core::segment::SegmentMap;
use detcon_inference::View;
use serde::Deserialize;

use crate::api::method::{AskedMethod, Usual};
use crate::engine::{Afforded, Need, Work};
use crate::http::parameters::{BOXES, Parameter, RLE};
use crate::http::{Contents, Fields, Problem, invalid};
use crate::models::Model;

/// Most boxes or masks of a request. Each is looked at in every column of the network's input.
const MAX_REGIONS: usize = 1024;

/// Where the regions come from.
pub(super) enum RegionSource {
    /// Regions that the client has; as they came, since reading megabytes takes time.
    Given(Given),
    /// A method.
    Made(Box<AskedMethod>),
}

/// Regions that the client has.
pub(super) enum Given {
    /// A label PNG.
    Labels(Bytes),
    /// JSON of boxes.
    Boxes(String),
    /// JSON of COCO run lengths.
    Rle(String),
}

impl RegionSource {
    /// Given regions, or a method; never both.
    pub(super) fn take(
        contents: &mut Contents,
        work: &Work,
        model: &Arc<Model>,
        view: View,
    ) -> Result<Self, Problem> {
        let mask = contents.mask.take().map(Given::Labels);
        let boxes = contents.fields.take(BOXES)?.map(Given::Boxes);
        let rle = contents.fields.take(RLE)?.map(Given::Rle);
        let mut given = [mask, boxes, rle].into_iter().flatten();
        let Some(first) = given.next() else {
            let model = |_: &mut Fields, _: Usual<'_>| Ok((Arc::clone(model), view));
            let method = AskedMethod::take(&mut contents.fields, work, model)?;
            return Ok(Self::Made(Box::new(method)));
        };
        if given.next().is_some() {
            let detail = "give a mask, boxes or rle, but not several of them";
            return Err(invalid("mask", detail));
        }
        match contents.fields.left_over() {
            Some(field) => Err(invalid(field, "it does not go with given regions")),
            None => Ok(Self::Given(first)),
        }
    }

    /// What it takes for an image of a height and a width.
    pub(super) fn need(&self) -> Box<dyn FnOnce([u32; 2]) -> Need + Send> {
        match self {
            Self::Made(method) => Box::new(method.need()),
            Self::Given(_) => Box::new(Need::segments),
        }
    }

    /// The regions of an image.
    pub(super) async fn regions(
        self,
        work: &Work,
        afforded: &Afforded,
        image: Arc<RgbImage>,
    ) -> Result<RegionSet, Problem> {
        match self {
            Self::Made(method) => {
                let map = method.segment(work, afforded, image).await?;
                let set = move || RegionSet::from_segments(map);
                Ok(work.compute(set).await?)
            }
            Self::Given(given) => {
                let limits = *work.limits();
                let size = [image.height(), image.width()];
                work.compute(move || given.regions(size, &limits)).await?
            }
        }
    }
}

impl Given {
    /// The regions of an image of this height and width.
    fn regions(
        &self,
        [height, width]: [u32; 2],
        limits: &ImageLimits,
    ) -> Result<RegionSet, Problem> {
        let set = match self {
            Self::Labels(png) => {
                let map = SegmentMap::from_png(png, limits).map_err(RegionError::from);
                RegionSet::from_segments(map.map_err(|error| unusable(&error))?)
            }
            Self::Boxes(text) => {
                let boxes: Vec<[f64; 4]> = counted(parse(BOXES, text)?)?;
                let mut budget = PolygonBudget::default();
                masks(boxes, |it| Mask::from_box(height, width, it, &mut budget))?
            }
            Self::Rle(text) => {
                let rle = if text.trim_start().starts_with('{') {
                    vec![parse(RLE, text)?]
                } else {
                    parse(RLE, text)?
                };
                masks(counted(rle)?, |it: CocoRle| Mask::try_from(&it))?
            }
        };
        let fits = set.check_size(height, width);
        fits.map(|()| set).map_err(|error| unusable(&error))
    }
}

fn parse<'a, T: Deserialize<'a>>(field: Parameter, text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| invalid(field.name, error.to_string()))
}

/// No more than may be given.
fn counted<T>(regions: Vec<T>) -> Result<Vec<T>, Problem> {
    if regions.len() <= MAX_REGIONS {
        return Ok(regions);
    }
    Err(unusable(&RegionError::TooManyRegions {
        regions: regions.len(),
        limit: MAX_REGIONS,
    }))
}

fn masks<T>(
    given: Vec<T>,
    mask: impl FnMut(T) -> Result<Mask, RegionError>,
) -> Result<RegionSet, Problem> {
    let masks = given.into_iter().map(mask).collect::<Result<_, _>>();
    let set = masks.and_then(RegionSet::from_masks);
    set.map_err(|error| unusable(&error))
}

/// What is wrong with given regions.
pub(super) fn unusable(error: &RegionError) -> Problem {
    Problem::Mask {
        detail: error.to_string(),
    }
}

/// Label PNGs, boxes or run lengths for a small image, by the first byte.
#[cfg(fuzzing)]
pub(crate) fn fuzz_given(bytes: &[u8]) -> Result<(), Problem> {
    let text = || String::from_utf8_lossy(&bytes[1..]).into_owned();
    let given = match bytes.first().map(|kind| kind % 3) {
        Some(0) => Given::Labels(Bytes::copy_from_slice(&bytes[1..])),
        Some(1) => Given::Boxes(text()),
        Some(_) => Given::Rle(text()),
        None => return Ok(()),
    };
    let set = given.regions([48, 64], &ImageLimits::default())?;
    assert!(set.check_size(48, 64).is_ok());
    Ok(())
}
