//! Region algebra: masks and label maps from outside, moved with their image, brought to a network's grid, and pooled.
//!
//! - [`Mask`]: one region's pixels as COCO run lengths; from boxes, polygons ([`coco`]) and run lengths of both kinds;
//! - the geometry of a [`SegmentMap`](crate::segment::SegmentMap): crop, flip, nearest resize, majority of a cell;
//! - [`RegionSet`]: the regions of one image, which may overlap, with area and box; [`View`] is how that image became
//!   a network's input; [`RegionCells`] are the cells that each region wins, and pool features over them;
//! - [`overlay`] and [`Palette`]: pictures to look at.

mod boxes;
mod cells;
pub mod coco;
mod error;
mod mask;
mod number;
mod overlay;
mod palette;
mod polygon;
mod set;
mod text;
mod transform;
mod view;

pub use self::boxes::BoundingBox;
pub use self::cells::RegionCells;
pub use self::error::RegionError;
pub use self::mask::Mask;
pub use self::number::Whole;
pub use self::overlay::{color_png, overlay, overlay_png};
pub use self::palette::Palette;
pub use self::polygon::PolygonBudget;
pub use self::set::{Region, RegionSet, segment_masks};
pub use self::view::View;
