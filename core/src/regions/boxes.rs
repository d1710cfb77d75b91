//! Bounding boxes: of regions, and from outside as masks. It refuses boxes that are empty or miss the image.

use serde::{Serialize, Serializer};

use super::{Mask, PolygonBudget, RegionError};

/// The smallest rectangle of pixels around a region; empty, all zeros, around no pixels. It serializes as
/// `[x, y, width, height]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundingBox {
    /// Columns left of it.
    pub x: u32,
    /// Rows above it.
    pub y: u32,
    /// Its columns.
    pub width: u32,
    /// Its rows.
    pub height: u32,
}

impl BoundingBox {
    /// `[x, y, width, height]`.
    #[must_use]
    pub const fn to_array(self) -> [u32; 4] {
        [self.x, self.y, self.width, self.height]
    }

    /// The smallest box around this one and the pixels from `(left, top)` to `(right, bottom)`, both inclusive.
    pub(super) fn include(&mut self, [left, top]: [u32; 2], [right, bottom]: [u32; 2]) {
        let first = self.width == 0;
        let (end_x, end_y) = (self.x + self.width, self.y + self.height);
        self.x = if first { left } else { self.x.min(left) };
        self.y = if first { top } else { self.y.min(top) };
        self.width = end_x.max(right + 1) - self.x;
        self.height = end_y.max(bottom + 1) - self.y;
    }
}

impl Serialize for BoundingBox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_array().serialize(serializer)
    }
}

impl Mask {
    /// The pixels of a box `[x, y, width, height]`, which may be fractional, as pycocotools draws it (`rleFrBbox`).
    /// What lies beyond the image is cut off; a box that covers none of its pixels is an error. Boxes of one image share
    /// a `budget`.
    pub fn from_box(
        height: u32,
        width: u32,
        [x, y, box_width, box_height]: [f64; 4],
        budget: &mut PolygonBudget,
    ) -> Result<Self, RegionError> {
        if !(box_width > 0.0 && box_height > 0.0) {
            return Err(RegionError::EmptyBox {
                width: box_width,
                height: box_height,
            });
        }
        let (right, bottom) = (x + box_width, y + box_height);
        let corners = [x, y, x, bottom, right, bottom, right, y];
        let mask = Self::from_polygon(height, width, &corners, budget)?;
        if mask.area() == 0 {
            return Err(RegionError::BoxOutside {
                x,
                y,
                width: box_width,
                height: box_height,
            });
        }
        Ok(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_box(height: u32, width: u32, given: [f64; 4]) -> Result<Mask, RegionError> {
        Mask::from_box(height, width, given, &mut PolygonBudget::default())
    }

    #[test]
    fn a_box_covers_its_pixels_and_what_leaves_the_image_is_cut_off() {
        let mask = from_box(10, 20, [3.0, 2.0, 5.0, 4.0]).unwrap();
        assert_eq!(mask.bounds().to_array(), [3, 2, 5, 4]);
        assert_eq!(mask.area(), 20);
        let mask = from_box(10, 20, [-5.0, -5.0, 7.0, 8.0]).unwrap();
        assert_eq!(mask.bounds().to_array(), [0, 0, 2, 3]);
        let mask = from_box(10, 20, [15.0, 8.0, 100.0, 100.0]).unwrap();
        assert_eq!(mask.bounds().to_array(), [15, 8, 5, 2]);
    }

    #[test]
    fn boxes_that_cover_nothing_are_refused() {
        for empty in [
            [1.0, 1.0, 0.0, 3.0],
            [1.0, 1.0, 3.0, -2.0],
            [1.0, 1.0, f64::NAN, 1.0],
        ] {
            let refusal = from_box(10, 20, empty).unwrap_err();
            assert!(matches!(refusal, RegionError::EmptyBox { .. }), "{empty:?}");
        }
        for outside in [[30.0, 1.0, 3.0, 3.0], [1.0, -9.0, 3.0, 3.0]] {
            let refusal = from_box(10, 20, outside).unwrap_err();
            assert!(
                matches!(refusal, RegionError::BoxOutside { .. }),
                "{outside:?}"
            );
        }
        for far in [
            [f64::NAN, 1.0, 3.0, 3.0],
            [1e300, 1.0, 3.0, 3.0],
            [0.0, 0.0, f64::INFINITY, 3.0],
        ] {
            let refusal = from_box(10, 20, far).unwrap_err();
            assert!(matches!(refusal, RegionError::Coordinate { .. }), "{far:?}");
        }
    }

    #[test]
    fn boxes_together_have_an_outline_that_is_not_endless() {
        let mut budget = PolygonBudget::default();
        let mut draw = || Mask::from_box(2000, 30_000, [0.0, 0.0, 30_000.0, 2000.0], &mut budget);
        let mut drawn = std::iter::from_fn(|| Some(draw())).take(1000);
        let refused = drawn.find_map(Result::err);
        assert!(matches!(refused, Some(RegionError::PolygonLength { .. })));
    }
}
