//! Segments by place alone: rows and columns. It refuses more of them than there are pixels.

use std::num::NonZeroU16;

use super::{SegmentError, SegmentMap};

/// The spatial heuristic of the paper (section 3.1): the image in `rows * columns` rectangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    rows: NonZeroU16,
    columns: NonZeroU16,
}

impl Grid {
    /// A grid of at most 65,536 rectangles.
    pub fn new(rows: NonZeroU16, columns: NonZeroU16) -> Result<Self, SegmentError> {
        let segments = usize::from(rows.get()) * usize::from(columns.get());
        if segments > SegmentMap::MAX_SEGMENTS {
            return Err(SegmentError::TooManySegments { segments });
        }
        Ok(Self { rows, columns })
    }

    /// Numbers the rectangles row by row. Where the sides do not divide, rectangles differ by one pixel.
    pub fn segment(&self, height: u32, width: u32) -> Result<SegmentMap, SegmentError> {
        let rows = bands("rows", height, self.rows)?;
        let columns = bands("columns", width, self.columns)?;
        let mut ids = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            let first = u32::from(row) * u32::from(self.columns.get());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a grid has at most 2^16 rectangles"
            )]
            ids.extend(
                columns
                    .iter()
                    .map(|&column| (first + u32::from(column)) as u16),
            );
        }
        SegmentMap::new(height, width, ids)
    }
}

/// The band of each of `extent` pixels.
fn bands(what: &'static str, extent: u32, parts: NonZeroU16) -> Result<Vec<u16>, SegmentError> {
    let parts = u32::from(parts.get());
    if parts > extent {
        let room = extent.into();
        return Err(SegmentError::TooFine { what, parts, room });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a band's number is below `parts`"
    )]
    let band = |pixel: u32| (u64::from(pixel) * u64::from(parts) / u64::from(extent)) as u16;
    Ok((0..extent).map(band).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_are_numbered_row_by_row() {
        let two = NonZeroU16::new(2).unwrap();
        let map = Grid::new(two, two).unwrap().segment(3, 4).unwrap();
        assert_eq!(map.ids(), [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_grid_finer_than_the_image_is_refused() {
        let grid = Grid::new(NonZeroU16::MIN, NonZeroU16::new(9).unwrap()).unwrap();
        let refusal = grid.segment(100, 8).unwrap_err();
        assert!(matches!(refusal, SegmentError::TooFine { parts: 9, .. }));
        let many = NonZeroU16::new(300).unwrap();
        let refusal = Grid::new(many, many).unwrap_err();
        assert!(matches!(refusal, SegmentError::TooManySegments { .. }));
    }
}
