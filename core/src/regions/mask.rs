//! One region's pixels as run lengths, the way COCO stores them: column by column, a run of zeros first. It refuses
//! runs that do not cover its size exactly.

use std::ops::Range;

use super::{BoundingBox, RegionError};

/// A binary mask. It costs memory by its outline, not by its area. Never of size zero; it may hold no pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    height: u32,
    width: u32,
    /// The pixels' column-major places: ascending, neither empty nor touching.
    runs: Vec<Range<u32>>,
}

impl Mask {
    /// Reads uncompressed run lengths: zeros and ones in turn, zeros first, column by column. Runs of length 0 are
    /// accepted anywhere.
    pub fn from_counts(height: u32, width: u32, counts: &[u32]) -> Result<Self, RegionError> {
        let pixels = checked_size(height, width)?;
        let mut end = 0_u64;
        let mut runs = Vec::new();
        for (turn, &count) in counts.iter().enumerate() {
            let start = end;
            end += u64::from(count);
            if end > pixels.into() {
                break;
            }
            if turn % 2 == 1 {
                push_run(&mut runs, place(start)..place(end));
            }
        }
        if end != u64::from(pixels) {
            return Err(RegionError::RunSum {
                height,
                width,
                expected: pixels.into(),
                sum: end,
            });
        }
        Ok(Self {
            height,
            width,
            runs,
        })
    }

    /// Takes `height * width` pixels, row by row.
    pub fn from_pixels(height: u32, width: u32, pixels: &[bool]) -> Result<Self, RegionError> {
        let expected = checked_size(height, width)?;
        if pixels.len() != expected as usize {
            let pixels = pixels.len();
            return Err(RegionError::MaskPixels {
                height,
                width,
                pixels,
            });
        }
        let mut runs = Vec::new();
        for x in 0..width {
            let column = pixels[x as usize..].iter().step_by(width as usize);
            for (place, _) in (x * height..).zip(column).filter(|(_, pixel)| **pixel) {
                push_run(&mut runs, place..place + 1);
            }
        }
        Ok(Self {
            height,
            width,
            runs,
        })
    }

    /// Joins runs of column-major places in any order. Places beyond the mask are cut off.
    pub(super) fn from_runs(
        height: u32,
        width: u32,
        mut unordered: Vec<Range<u32>>,
    ) -> Result<Self, RegionError> {
        let pixels = checked_size(height, width)?;
        unordered.sort_unstable_by_key(|run| run.start);
        let mut runs = Vec::new();
        for run in unordered {
            push_run(&mut runs, run.start..run.end.min(pixels));
        }
        Ok(Self {
            height,
            width,
            runs,
        })
    }

    /// The uncompressed run lengths, as pycocotools makes them: only the first may be 0.
    #[must_use]
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = Vec::with_capacity(2 * self.runs.len() + 1);
        let mut end = 0;
        for run in &self.runs {
            counts.extend([run.start - end, run.end - run.start]);
            end = run.end;
        }
        let rest = self.height * self.width - end;
        if rest > 0 {
            counts.push(rest);
        }
        counts
    }

    /// The pixels, row by row. It allocates a byte for each pixel.
    #[must_use]
    pub fn to_pixels(&self) -> Vec<bool> {
        let mut pixels = vec![false; self.height as usize * self.width as usize];
        self.for_each_pixel(|index| pixels[index] = true);
        pixels
    }

    /// Visits the row-major place of each of its pixels, column by column.
    pub fn for_each_pixel(&self, mut visit: impl FnMut(usize)) {
        let (height, width) = (self.height as usize, self.width as usize);
        for place in self.runs.iter().cloned().flatten() {
            let place = place as usize;
            visit(place % height * width + place / height);
        }
    }

    /// The pixels that are in any of the masks, which must be of one size.
    pub(super) fn union(height: u32, width: u32, masks: Vec<Self>) -> Result<Self, RegionError> {
        let mut runs = Vec::new();
        for mask in masks {
            mask.check_size(height, width)?;
            runs.extend(mask.runs);
        }
        Self::from_runs(height, width, runs)
    }

    /// Refuses a mask that is not of this size.
    pub(super) fn check_size(&self, height: u32, width: u32) -> Result<(), RegionError> {
        if (self.height, self.width) == (height, width) {
            return Ok(());
        }
        Err(RegionError::SizeMismatch {
            what: "A mask",
            height,
            width,
            actual_height: self.height,
            actual_width: self.width,
        })
    }

    /// Rows, at least 1.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Pixels in a row, at least 1.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Its runs of column-major places: ascending, neither empty nor touching.
    pub(super) fn runs(&self) -> &[Range<u32>] {
        &self.runs
    }

    /// How many pixels it holds.
    #[must_use]
    pub fn area(&self) -> u64 {
        let lengths = self.runs.iter().map(|run| u64::from(run.end - run.start));
        lengths.sum()
    }

    /// The smallest box around its pixels.
    #[must_use]
    pub fn bounds(&self) -> BoundingBox {
        let mut bounds = BoundingBox::default();
        for run in &self.runs {
            let last = run.end - 1;
            let (left, right) = (run.start / self.height, last / self.height);
            let (top, bottom) = if left == right {
                (run.start % self.height, last % self.height)
            } else {
                // A run that passes a column's end touches the last row of one column and the first of the next.
                (0, self.height - 1)
            };
            bounds.include([left, top], [right, bottom]);
        }
        bounds
    }
}

/// Pixels of a mask of this size.
pub(super) fn checked_size(height: u32, width: u32) -> Result<u32, RegionError> {
    let pixels = height.checked_mul(width).filter(|&pixels| pixels > 0);
    pixels.ok_or(RegionError::MaskSize { height, width })
}

/// A place that has been compared with the mask's size, which has 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "callers compare with a 32-bit size first"
)]
const fn place(wide: u64) -> u32 {
    wide as u32
}

/// Appends a run that starts no earlier than the last; what touches or overlaps becomes one.
fn push_run(runs: &mut Vec<Range<u32>>, run: Range<u32>) {
    if run.is_empty() {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
        _ => runs.push(run),
    }
}
