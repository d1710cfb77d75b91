//! Polygons as pycocotools rasterises them (`rleFrPoly`): the outline is walked in fifths of a pixel, and each pixel
//! column is crossed where the outline passes its middle. It refuses points that are no numbers or are far from any
//! image, and outlines too long to walk.

use super::mask::checked_size;
use super::{Mask, RegionError};

/// Farthest a coordinate may be from the image's upper left corner, in pixels.
pub(super) const COORDINATE_LIMIT: f64 = (1 << 20) as f64;

/// Points that pycocotools puts on a pixel.
const SCALE: f64 = 5.0;

/// How much outline may still be walked: work for hostile polygons ends here.
#[derive(Clone, Copy, Debug)]
pub struct PolygonBudget {
    pixels: u64,
    points: u64,
}

impl Default for PolygonBudget {
    /// 2^23 pixels of outline: well below a second.
    fn default() -> Self {
        let pixels = 1 << 23;
        Self {
            pixels,
            points: 5 * pixels,
        }
    }
}

impl PolygonBudget {
    fn spend(&mut self, points: u64) -> Result<(), RegionError> {
        let limit = self.pixels;
        let left = self.points.checked_sub(points);
        self.points = left.ok_or(RegionError::PolygonLength { limit })?;
        Ok(())
    }
}

impl Mask {
    /// Draws a polygon given as `x, y, x, y, …` in pixels. It is closed by itself; parts beyond the image are cut off.
    pub fn from_polygon(
        height: u32,
        width: u32,
        coordinates: &[f64],
        budget: &mut PolygonBudget,
    ) -> Result<Self, RegionError> {
        checked_size(height, width)?;
        let (points, rest) = coordinates.as_chunks::<2>();
        if !rest.is_empty() || points.len() < 3 {
            let coordinates = coordinates.len();
            return Err(RegionError::PolygonPoints { coordinates });
        }
        let points = points.iter().map(|point| fine_point(*point));
        let points = points.collect::<Result<Vec<_>, _>>()?;
        let lengths = points.iter().zip(points.iter().cycle().skip(1));
        let lengths = lengths.map(|(one, other)| u64::from(steps(*one, *other)) + 1);
        budget.spend(lengths.sum())?;
        Self::from_toggles(height, width, toggles(&points, height, width))
    }

    /// The mask that begins with zeros and changes at each of these column-major places.
    fn from_toggles(height: u32, width: u32, mut places: Vec<u32>) -> Result<Self, RegionError> {
        places.sort_unstable();
        let end = height * width;
        let runs = places.chunks(2);
        let runs = runs.map(|pair| pair[0]..pair.get(1).copied().unwrap_or(end));
        Self::from_runs(height, width, runs.collect())
    }
}

/// A point in fifths of a pixel.
fn fine_point(point: [f64; 2]) -> Result<[i32; 2], RegionError> {
    let outside = |value: &&f64| !(-COORDINATE_LIMIT..=COORDINATE_LIMIT).contains(*value);
    if let Some(&value) = point.iter().find(outside) {
        return Err(RegionError::Coordinate { value });
    }
    Ok(point.map(|value| cut(SCALE * value + 0.5)))
}

/// C's conversion to an integer, towards zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "coordinates are limited to far below 2^31 fifths"
)]
const fn cut(value: f64) -> i32 {
    value as i32
}

/// Points on the edge between two others, less one.
fn steps(one: [i32; 2], other: [i32; 2]) -> u32 {
    one[0].abs_diff(other[0]).max(one[1].abs_diff(other[1]))
}

/// The places, down a column and then to the next, where the outline crosses the middles of pixel columns.
fn toggles(points: &[[i32; 2]], height: u32, width: u32) -> Vec<u32> {
    let mut places = Vec::new();
    let mut before: Option<[i32; 2]> = None;
    for (&start, &end) in points.iter().zip(points.iter().cycle().skip(1)) {
        for point in edge(start, end) {
            if let Some(before) = before.replace(point).filter(|before| before[0] != point[0]) {
                places.extend(crossing(before, point, height, width));
            }
        }
    }
    places
}

/// The points of an edge, one a step along its longer side.
fn edge(start: [i32; 2], end: [i32; 2]) -> impl Iterator<Item = [i32; 2]> {
    let (dx, dy) = (start[0].abs_diff(end[0]), start[1].abs_diff(end[1]));
    let (along, across) = if dx >= dy { (0, 1) } else { (1, 0) };
    // Both directions of an edge are computed from the same end, so that neighbours share their border.
    let flip = start[along] > end[along];
    let (low, high) = if flip { (end, start) } else { (start, end) };
    let length = dx.max(dy).cast_signed();
    let rise = f64::from(high[across] - low[across]) / f64::from(length.max(1));
    (0..=length).map(move |step| {
        let step = if flip { length - step } else { step };
        let mut point = [0; 2];
        point[along] = low[along] + step;
        point[across] = cut(f64::from(low[across]) + rise * f64::from(step) + 0.5);
        point
    })
}

/// The place at which a step of the outline passes the middle of a pixel column of the image, if it does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both have been brought within the image"
)]
fn crossing(before: [i32; 2], point: [i32; 2], height: u32, width: u32) -> Option<u32> {
    let fine = if point[0] < before[0] {
        point[0]
    } else {
        point[0] - 1
    };
    let x = (f64::from(fine) + 0.5) / SCALE - 0.5;
    #[expect(clippy::float_cmp, reason = "only whole numbers are middles")]
    if x.floor() != x || x < 0.0 || x > f64::from(width - 1) {
        return None;
    }
    let y = (f64::from(point[1].min(before[1])) + 0.5) / SCALE - 0.5;
    let y = y.clamp(0.0, f64::from(height)).ceil();
    Some(x as u32 * height + y as u32)
}
