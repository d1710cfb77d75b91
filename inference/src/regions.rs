//! One vector for each region of an image.

use std::str::FromStr;

use detcon_core::checkpoint::Tensor;
use detcon_core::projector::Projector;
use detcon_core::regions::{BoundingBox, RegionCells, RegionError, RegionSet};

use crate::segmentation::feature_map;

/// Which vectors regions have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// The mean of c5 over a region's cells.
    #[default]
    Backbone,
    /// The projector's output for that mean.
    Projection,
}

impl FromStr for Space {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "backbone" => Ok(Self::Backbone),
            "projection" => Ok(Self::Projection),
            _ => Err("it is neither backbone nor projection"),
        }
    }
}

/// A region that wins cells of the feature grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its label, or its place among the given boxes or masks.
    pub id: u16,
    /// Its pixels in the image.
    pub area: u64,
    /// Its cells on the feature grid.
    pub cells: usize,
    /// Its place in the image.
    pub bounds: BoundingBox,
    /// Its vector.
    pub embedding: Vec<f32>,
}

/// The regions of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// Those that win cells, by id.
    pub regions: Vec<Region>,
    /// Ids of those that win none.
    pub dropped: Vec<u16>,
}

impl Regions {
    /// The mean of `features`, `[C, h, w]`, over each region's cells, projected where there is a projector.
    pub(crate) fn pool(
        set: &RegionSet,
        cells: &RegionCells,
        features: &Tensor,
        projector: Option<&Projector>,
    ) -> Result<Self, RegionError> {
        let map = feature_map(features)?;
        let pooled = cells.pool(map)?;
        let rows = pooled.chunks_exact(map.channels());
        let mut known = set.regions().iter();
        let pairs = cells.regions().zip(rows);
        let regions = pairs.filter_map(|((id, cells), row)| {
            let region = known.find(|region| region.id == id)?; // both are in the order of ids
            Some(Region {
                id,
                area: region.area,
                cells: cells.len(),
                bounds: region.bounds,
                embedding: projector.map_or_else(|| row.to_vec(), |it| it.project(row)),
            })
        });
        Ok(Self {
            regions: regions.collect(),
            dropped: cells.dropped().to_vec(),
        })
    }
}
