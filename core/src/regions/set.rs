//! The regions of one image. It refuses masks of different sizes, none at all, and more than there are ids.

use super::cells::{CellRegion, RegionCells};
use super::mask::checked_size;
use super::transform::{check_window, nearest};
use super::{BoundingBox, Mask, RegionError, View};
use crate::segment::SegmentMap;

/// What a region is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its label in a label map, or its place among the given masks.
    pub id: u16,
    /// Its pixels.
    pub area: u64,
    /// The smallest box around them.
    pub bounds: BoundingBox,
}

/// The regions of an image, in ascending order of their ids.
#[derive(Clone, Debug)]
pub struct RegionSet {
    layout: Layout,
    regions: Vec<Region>,
}

/// Whether a pixel has exactly one region.
#[derive(Clone, Debug)]
enum Layout {
    Partition(SegmentMap),
    Masks(Vec<Mask>),
}

impl RegionSet {
    /// Every label of a map is a region, 0 too.
    #[must_use]
    pub fn from_segments(map: SegmentMap) -> Self {
        let mut slots = vec![usize::MAX; SegmentMap::MAX_SEGMENTS];
        let mut regions: Vec<Region> = Vec::new();
        for id in map.distinct() {
            slots[usize::from(id)] = regions.len();
            let (area, bounds) = (0, BoundingBox::default());
            regions.push(Region { id, area, bounds });
        }
        for (y, row) in (0..).zip(map.rows()) {
            let mut x = 0;
            for run in row.chunk_by(|one, other| one == other) {
                #[expect(clippy::cast_possible_truncation, reason = "a map's side has 32 bits")]
                let end = x + run.len() as u32;
                let region = &mut regions[slots[usize::from(run[0])]];
                region.area += u64::from(end - x);
                region.bounds.include([x, y], [end - 1, y]);
                x = end;
            }
        }
        let layout = Layout::Partition(map);
        Self { layout, regions }
    }

    /// Masks of one size, which may overlap; their places are their ids.
    pub fn from_masks(masks: Vec<Mask>) -> Result<Self, RegionError> {
        let (regions, limit) = (masks.len(), SegmentMap::MAX_SEGMENTS);
        if regions > limit {
            return Err(RegionError::TooManyRegions { regions, limit });
        }
        let first = masks.first().ok_or(RegionError::NoRegions)?;
        let (height, width) = (first.height(), first.width());
        for mask in &masks {
            mask.check_size(height, width)?;
        }
        let regions = (0..=u16::MAX).zip(&masks).map(|(id, mask)| Region {
            id,
            area: mask.area(),
            bounds: mask.bounds(),
        });
        Ok(Self {
            regions: regions.collect(),
            layout: Layout::Masks(masks),
        })
    }

    /// The regions, in ascending order of their ids.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Rows and columns of the image.
    #[must_use]
    pub fn size(&self) -> [u32; 2] {
        match &self.layout {
            Layout::Partition(map) => [map.height(), map.width()],
            Layout::Masks(masks) => masks.first().map_or([0, 0], |m| [m.height(), m.width()]),
        }
    }

    /// Refuses an image of another size.
    pub fn check_size(&self, height: u32, width: u32) -> Result<(), RegionError> {
        let [actual_height, actual_width] = self.size();
        if [actual_height, actual_width] == [height, width] {
            return Ok(());
        }
        Err(RegionError::SizeMismatch {
            what: "The mask",
            height,
            width,
            actual_height,
            actual_width,
        })
    }

    /// The cells of a network's grid that each region wins.
    ///
    /// A cell of a label map goes to its commonest label, of equals the smallest, as upstream's masks do. Given masks
    /// are independent of each other: one wins each cell of which it covers more than half, whatever others cover.
    /// A region that wins no cell, being small, thin or outside the window, is dropped.
    pub fn on_grid(&self, view: &View) -> Result<RegionCells, RegionError> {
        let [height, width] = self.size();
        check_window(view.window(), height, width)?;
        let cells = match &self.layout {
            Layout::Partition(map) => {
                let input = map.crop(view.window())?;
                let input = input.resize_nearest(view.height(), view.width())?;
                cells_by_id(&input.majority(view.stride()), &self.regions)
            }
            Layout::Masks(masks) => masks.iter().map(|mask| cells_of_mask(mask, view)).collect(),
        };
        let regions = self.regions.iter().zip(cells);
        let regions = regions.map(|(region, cells)| CellRegion {
            id: region.id,
            cells,
        });
        Ok(RegionCells::new(view.grid(), regions.collect()))
    }
}

/// The cells of each region's id.
fn cells_by_id(grid: &SegmentMap, regions: &[Region]) -> Vec<Vec<u32>> {
    let mut cells = vec![Vec::new(); regions.len()];
    for (cell, &id) in (0..).zip(grid.ids()) {
        if let Ok(slot) = regions.binary_search_by_key(&id, |region| region.id) {
            cells[slot].push(cell);
        }
    }
    cells
}

/// The cells of which a mask covers more than half. It looks at the pixels that the resized input shows, no others.
fn cells_of_mask(mask: &Mask, view: &View) -> Vec<u32> {
    let stride = view.stride().get() as usize;
    let window = view.window();
    let rows: Vec<usize> = nearest(window.height, view.height()).collect();
    let [grid_rows, grid_columns] = view.grid().map(|side| side as usize);
    let mut covered = vec![0_u64; grid_rows * grid_columns];
    let mut before = None;
    let mut column_rows = Vec::new();
    for (x, source) in nearest(window.width, view.width()).enumerate() {
        if before.replace(source) != Some(source) {
            let column = window.offset_x as usize + source;
            column_rows = shown_rows(mask, column, window.offset_y as usize, &rows);
        }
        for run in &column_rows {
            let mut y = run.start;
            while y < run.end {
                let cell = y / stride;
                let next = run.end.min((cell + 1) * stride);
                covered[cell * grid_columns + x / stride] += (next - y) as u64;
                y = next;
            }
        }
    }
    let pixels = |cell: usize, side: u32| (side as usize - cell * stride).min(stride) as u64;
    let wins = |&(cell, covered): &(u32, u64)| {
        let [y, x] = [cell as usize / grid_columns, cell as usize % grid_columns];
        2 * covered > pixels(y, view.height()) * pixels(x, view.width())
    };
    let cells = (0..).zip(covered).filter(wins);
    cells.map(|(cell, _)| cell).collect()
}

/// The input's rows that show a pixel of the mask in this column of the image.
fn shown_rows(
    mask: &Mask,
    column: usize,
    offset_y: usize,
    rows: &[usize],
) -> Vec<std::ops::Range<usize>> {
    let height = mask.height() as usize;
    let (top, bottom) = (column * height, (column + 1) * height);
    let runs = mask.runs();
    let first = runs.partition_point(|run| run.end as usize <= top);
    let runs = runs[first..].iter();
    let runs = runs.take_while(|run| (run.start as usize) < bottom);
    let shown = runs.map(|run| {
        let start = (run.start as usize).max(top) - top;
        let end = (run.end as usize).min(bottom) - top;
        let place = |y: usize| rows.partition_point(|&row| row + offset_y < y);
        place(start)..place(end)
    });
    shown.filter(|shown| !shown.is_empty()).collect()
}

/// The mask of each label of a map, in ascending order of the labels, in one pass over the map.
///
/// A map of more than 2^32 pixels is an error.
pub fn segment_masks(map: &SegmentMap) -> Result<Vec<(u16, Mask)>, RegionError> {
    checked_size(map.height(), map.width())?;
    let ids = map.distinct();
    let mut slots = vec![usize::MAX; SegmentMap::MAX_SEGMENTS];
    for (slot, &id) in ids.iter().enumerate() {
        slots[usize::from(id)] = slot;
    }
    let mut runs = vec![Vec::new(); ids.len()];
    let mut place = 0_u32;
    for x in 0..map.width() as usize {
        let mut row = 0;
        let column: Vec<u16> = map.rows().map(|row| row[x]).collect();
        for run in column.chunk_by(|one, other| one == other) {
            #[expect(clippy::cast_possible_truncation, reason = "a map's side has 32 bits")]
            let length = run.len() as u32;
            runs[slots[usize::from(run[0])]].push(place + row..place + row + length);
            row += length;
        }
        place += row;
    }
    let masks = ids.into_iter().zip(runs);
    let masks = masks
        .map(|(id, runs)| Mask::from_runs(map.height(), map.width(), runs).map(|mask| (id, mask)));
    masks.collect()
}
