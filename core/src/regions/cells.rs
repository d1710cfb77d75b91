//! Which cells of a feature grid each region has won, and the mean of the features there. It refuses features of
//! another grid.

use super::RegionError;
use crate::segment::FeatureMap;

/// One region on the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CellRegion {
    pub(super) id: u16,
    /// Row-major places, ascending.
    pub(super) cells: Vec<u32>,
}

/// The regions of an image on a feature grid: those that win cells, and those that do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionCells {
    grid: [u32; 2],
    won: Vec<CellRegion>,
    dropped: Vec<u16>,
}

impl RegionCells {
    pub(super) fn new(grid: [u32; 2], regions: Vec<CellRegion>) -> Self {
        let (won, dropped): (Vec<_>, Vec<_>) = regions
            .into_iter()
            .partition(|region| !region.cells.is_empty());
        let dropped = dropped.into_iter().map(|region| region.id).collect();
        Self { grid, won, dropped }
    }

    /// Rows and columns of the grid.
    #[must_use]
    pub const fn grid(&self) -> [u32; 2] {
        self.grid
    }

    /// The regions that have cells: their ids, ascending, each with its cells' row-major places, ascending.
    #[must_use]
    pub fn regions(&self) -> impl ExactSizeIterator<Item = (u16, &[u32])> {
        let regions = self.won.iter();
        regions.map(|region| (region.id, &region.cells[..]))
    }

    /// The ids of the regions that win no cell, ascending.
    #[must_use]
    pub fn dropped(&self) -> &[u16] {
        &self.dropped
    }

    /// The mean feature vector of each region that has cells: [regions, channels], row-major.
    pub fn pool(&self, features: FeatureMap<'_>) -> Result<Vec<f32>, RegionError> {
        let [height, width] = self.grid;
        if [features.height(), features.width()] != self.grid {
            return Err(RegionError::SizeMismatch {
                what: "The feature map",
                height,
                width,
                actual_height: features.height(),
                actual_width: features.width(),
            });
        }
        let mut means = Vec::with_capacity(self.won.len() * features.channels());
        for region in &self.won {
            means.extend(features.planes().map(|plane| mean(plane, &region.cells)));
        }
        Ok(means)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "cells are far fewer than 2^52, and a mean has the features' own 32 bits"
)]
fn mean(plane: &[f32], cells: &[u32]) -> f32 {
    let values = cells.iter().map(|&cell| f64::from(plane[cell as usize]));
    (values.sum::<f64>() / cells.len() as f64) as f32
}
