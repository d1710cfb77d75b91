//! The regions of a batch: which mask ids were drawn, and the mean features of their cells.
//!
//! The grid of a view holds the commonest mask id of each 32×32 cell (`SegmentMap::majority`), so that no one-hot
//! masks of the image ever exist. Source: `create_binary_mask` and `sample_masks` of the published `detcon_b.py`.

use rand_chacha::rand_core::RngCore;
use tch::{Device, Tensor};

use crate::random::below;

/// The regions of one view of a batch.
#[derive(Debug)]
pub struct Regions {
    /// Drawn mask ids: int64 `[N, R]`.
    ids: Tensor,
    /// Whether a cell is in a region: bool `[N, R, cells]`.
    members: Tensor,
}

impl Regions {
    /// `grid` holds the id of each cell, int64 `[N, cells]`; `ids` the drawn ones, int64 `[N, R]`.
    #[must_use]
    pub fn new(grid: &Tensor, ids: Tensor) -> Self {
        let members = grid.unsqueeze(1).eq_tensor(&ids.unsqueeze(2));
        Self { ids, members }
    }

    /// Regions that may overlap: `ids` as above, `members` whether a cell is in a region, bool `[N, R, cells]`.
    #[must_use]
    pub const fn overlapping(members: Tensor, ids: Tensor) -> Self {
        Self { ids, members }
    }

    /// The drawn ids: `[N, R]`.
    pub const fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// The same on a device.
    pub(crate) fn to_device(&self, device: Device) -> Self {
        Self {
            ids: self.ids.to_device(device),
            members: self.members.to_device(device),
        }
    }

    /// Those of `count` images from `first` on.
    pub(crate) fn part(&self, first: i64, count: i64) -> Self {
        Self {
            ids: self.ids.narrow(0, first, count),
            members: self.members.narrow(0, first, count),
        }
    }

    /// The mean features of each region: `[N, C, h, w]` → `[N, R, C]`; 0 where a region has no cell.
    pub fn pool(&self, features: &Tensor) -> Tensor {
        let cells = features.flatten(2, 3).transpose(1, 2);
        let members = self.members.to_kind(features.kind());
        let counts = members.sum_dim_intlist([2].as_slice(), true, None);
        (members / counts.clamp_min(1.0)).matmul(&cells)
    }
}

/// Draws `count` of the ids that a grid holds, each with the same chance however many cells it has, with replacement.
/// Source: `sample_masks` of the published `detcon_b.py`; what no cell belongs to is never drawn.
///
/// # Panics
/// Where the grid has no cell.
pub fn draw_ids(grid: &[u16], count: usize, random: &mut impl RngCore) -> Vec<u16> {
    let mut present = grid.to_vec();
    present.sort_unstable();
    present.dedup();
    assert!(!present.is_empty(), "a grid has cells");
    (0..count)
        .map(|_| present[below(present.len(), random)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn each_present_id_is_drawn_as_often_whatever_its_area() {
        let mut random = stream(1, "test", &[]);
        let ids = draw_ids(&[7, 7, 7, 7, 7, 7, 3, 250], 30_000, &mut random);
        for id in [3, 7, 250] {
            let drawn = ids.iter().filter(|&&drawn| drawn == id).count();
            assert!(
                (9_700..10_300).contains(&drawn),
                "{id} was drawn {drawn} times"
            );
        }
    }

    #[test]
    fn a_region_is_the_mean_of_its_cells() {
        let grid = Tensor::from_slice(&[5_i64, 5, 2, 5]).view([1, 4]);
        let ids = Tensor::from_slice(&[5_i64, 2, 9]).view([1, 3]);
        let features = Tensor::from_slice(&[1.0_f32, 2.0, 10.0, 6.0]).view([1, 1, 2, 2]);
        let pooled = Regions::new(&grid, ids).pool(&features);
        assert_eq!(
            pooled,
            Tensor::from_slice(&[3.0_f32, 10.0, 0.0]).view([1, 3, 1])
        );
    }
}
