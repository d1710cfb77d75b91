//! The masks of an image, and the cells of a view that belong to each.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use detcon_core::arch::STRIDE;
use detcon_core::preprocess::{Flip, Window};
use detcon_core::regions::RegionError;
use detcon_core::segment::SegmentMap;

/// The masks of an image, of the size of its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageMask {
    /// Each pixel belongs to one segment.
    Flat(SegmentMap),
    /// Objects that may overlap: a map for each, 1 where it is and 0 elsewhere. The first has the id 1.
    Layers(Vec<SegmentMap>),
}

/// The cells of 32×32 pixels of a view, by the mask ids that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cells {
    /// The commonest id of each cell.
    Flat(Vec<u16>),
    /// Which cells each object covers more than half of; 0 has those that none does. Objects without a cell are left
    /// out.
    Layers(BTreeMap<u16, Vec<bool>>),
}

/// Pixels of a cell's side.
#[expect(clippy::cast_possible_truncation, reason = "the stride is 32")]
const CELL: NonZeroU32 = NonZeroU32::new(STRIDE as u32).expect("not 0");

impl ImageMask {
    /// The cells of a view of `side` pixels: cropped, flipped, and resized to the nearest pixels, in upstream's order
    /// (`preprocess_image` of `utils/tf_image_ops.py`).
    pub(super) fn cells(
        &self,
        window: Window,
        flip: Flip,
        side: u32,
    ) -> Result<Cells, RegionError> {
        let grid = |map: &SegmentMap| Ok(view(map, window, flip, side)?.majority(CELL));
        Ok(match self {
            Self::Flat(map) => Cells::Flat(grid(map)?.ids().to_vec()),
            Self::Layers(maps) => {
                let grids = maps
                    .iter()
                    .map(grid)
                    .collect::<Result<Vec<_>, RegionError>>()?;
                Cells::layers(&grids, side.div_ceil(CELL.get()).pow(2) as usize)
            }
        })
    }

    /// Height and width of what is not of this size.
    pub(super) fn other_than(&self, size: [u32; 2]) -> Option<[u32; 2]> {
        let maps = match self {
            Self::Flat(map) => std::slice::from_ref(map),
            Self::Layers(maps) => maps,
        };
        let mut sizes = maps.iter().map(|map| [map.height(), map.width()]);
        sizes.find(|other| *other != size)
    }
}

/// The view of a map.
pub(super) fn view(
    map: &SegmentMap,
    window: Window,
    flip: Flip,
    side: u32,
) -> Result<SegmentMap, RegionError> {
    let cropped = map.crop(window)?;
    let shown = match flip {
        Flip::None => cropped,
        Flip::LeftRight => cropped.flip_horizontal(),
    };
    shown.resize_nearest(side, side)
}

impl Cells {
    fn layers(grids: &[SegmentMap], cells: usize) -> Self {
        let covered = |grid: &SegmentMap| grid.ids().iter().map(|&id| id != 0).collect();
        let mut layers: BTreeMap<u16, Vec<bool>> =
            (1..=u16::MAX).zip(grids.iter().map(covered)).collect();
        let free = |cell: usize| layers.values().all(|layer| !layer[cell]);
        let background = (0..cells).map(free).collect();
        layers.insert(0, background);
        layers.retain(|_, layer| layer.contains(&true));
        Self::Layers(layers)
    }

    /// The ids that have a cell: at least one.
    pub(super) fn present(&self) -> Vec<u16> {
        match self {
            Self::Flat(grid) => {
                let mut present = grid.clone();
                present.sort_unstable();
                present.dedup();
                present
            }
            Self::Layers(layers) => layers.keys().copied().collect(),
        }
    }

    /// Cells of the view.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Flat(grid) => grid.len(),
            Self::Layers(layers) => layers.values().next().map_or(0, Vec::len),
        }
    }

    /// Whether a cell belongs to an id.
    #[must_use]
    pub fn holds(&self, id: u16, cell: usize) -> bool {
        match self {
            Self::Flat(grid) => grid.get(cell) == Some(&id),
            Self::Layers(layers) => layers.get(&id).is_some_and(|layer| layer[cell]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripe(from: u32, to: u32) -> SegmentMap {
        let ids = (0..96 * 96).map(|at| u16::from((from..to).contains(&(at % 96))));
        SegmentMap::new(96, 96, ids.collect()).unwrap()
    }

    #[test]
    fn objects_that_overlap_share_cells_and_empty_ones_are_left_out() {
        let window = Window {
            offset_y: 0,
            offset_x: 0,
            height: 96,
            width: 96,
        };
        let mask = ImageMask::Layers(vec![stripe(0, 64), stripe(32, 50), stripe(40, 44)]);
        let cells = mask.cells(window, Flip::None, 96).unwrap();
        assert_eq!(cells.present(), [0, 1, 2]);
        let row = |id| [0, 1, 2].map(|cell| cells.holds(id, cell));
        assert_eq!(row(1), [true, true, false]);
        assert_eq!(row(2), [false, true, false]);
        assert_eq!(row(0), [false, false, true]);
        let mirrored = mask.cells(window, Flip::LeftRight, 96).unwrap();
        assert_eq!(
            [0, 1, 2].map(|cell| mirrored.holds(1, cell)),
            [false, true, true]
        );
        let nothing = ImageMask::Layers(Vec::new());
        let cells = nothing.cells(window, Flip::None, 96).unwrap();
        assert_eq!((cells.present(), cells.count()), (vec![0], 9));
    }
}
