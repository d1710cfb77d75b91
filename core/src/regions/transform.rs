//! The geometry of label maps, as their images are moved: crop, flip, nearest resize, and the majority of each cell.

use std::num::NonZeroU32;

use super::{RegionError, View};
use crate::preprocess::Window;
use crate::segment::SegmentMap;

impl SegmentMap {
    /// The part of the map in a window.
    pub fn crop(&self, window: Window) -> Result<Self, RegionError> {
        check_window(window, self.height(), self.width())?;
        let columns = window.offset_x as usize..(window.offset_x + window.width) as usize;
        let rows = self.rows().skip(window.offset_y as usize);
        let mut ids = Vec::with_capacity(window.height as usize * columns.len());
        for row in rows.take(window.height as usize) {
            ids.extend_from_slice(&row[columns.clone()]);
        }
        Ok(Self::new(window.height, window.width, ids)?)
    }

    /// The mirror image: left becomes right.
    #[must_use]
    pub fn flip_horizontal(mut self) -> Self {
        let width = self.width() as usize;
        for row in self.ids_mut().chunks_exact_mut(width) {
            row.reverse();
        }
        self
    }

    /// Resizes to the nearest pixels, as TensorFlow does (`tf.image.resize`, half-pixel centres, in 32 bits):
    /// `floor((i + 0.5) * in / out)`. At most [`View::MAX_SIDE`] pixels a side.
    pub fn resize_nearest(&self, height: u32, width: u32) -> Result<Self, RegionError> {
        if height.max(width) > View::MAX_SIDE {
            return Err(RegionError::InputSize { height, width });
        }
        let columns: Vec<usize> = nearest(self.width(), width).collect();
        let mut ids = Vec::with_capacity(height as usize * columns.len());
        let mut shown = None;
        for y in nearest(self.height(), height) {
            if shown.replace(y) == Some(y) {
                ids.extend_from_within(ids.len() - columns.len()..);
            } else {
                let row = &self.ids()[y * self.width() as usize..];
                ids.extend(columns.iter().map(|&x| row[x]));
            }
        }
        Ok(Self::new(height, width, ids)?)
    }

    /// The commonest id of each cell of `stride * stride` pixels; of equally common ones the smallest. Upstream's
    /// downsampled masks, without its one-hot image. Where a side is no multiple of the stride, the last cells count
    /// the pixels that they have.
    #[expect(
        clippy::missing_panics_doc,
        reason = "there are as many ids as cells, and at least one"
    )]
    #[must_use]
    pub fn majority(&self, stride: NonZeroU32) -> Self {
        let (rows, columns) = (
            self.height().div_ceil(stride.get()),
            self.width().div_ceil(stride.get()),
        );
        let stride = stride.get() as usize;
        let mut votes = Votes::default();
        let mut ids = Vec::with_capacity(rows as usize * columns as usize);
        for band in self
            .ids()
            .chunks(stride.saturating_mul(self.width() as usize))
        {
            for column in 0..columns as usize {
                for row in band.chunks_exact(self.width() as usize) {
                    let end = row.len().min((column + 1).saturating_mul(stride));
                    votes.count(&row[column * stride..end]);
                }
                ids.push(votes.winner());
            }
        }
        Self::new(rows, columns, ids).expect("one id for each cell")
    }
}

/// Refuses a window that is empty or leaves an image.
pub(super) fn check_window(window: Window, height: u32, width: u32) -> Result<(), RegionError> {
    let fits = |offset: u32, part: u32, whole: u32| {
        part > 0 && offset.checked_add(part).is_some_and(|end| end <= whole)
    };
    if fits(window.offset_y, window.height, height) && fits(window.offset_x, window.width, width) {
        return Ok(());
    }
    Err(RegionError::Window {
        window,
        height,
        width,
    })
}

/// The pixel of `input` that each of `output` pixels shows. It never decreases.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "TensorFlow computes in 32 bits; the product is not negative and a cast beyond the end is clamped"
)]
pub(super) fn nearest(input: u32, output: u32) -> impl Iterator<Item = usize> {
    let scale = input as f32 / output as f32;
    let last = input as usize - 1;
    (0..output).map(move |i| (((i as f32 + 0.5) * scale).floor() as usize).min(last))
}

/// Counts ids of one cell at a time, at a cost that depends on the cell alone.
struct Votes {
    counts: Vec<u32>,
    /// The ids that have votes.
    present: Vec<u16>,
}

impl Default for Votes {
    fn default() -> Self {
        Self {
            counts: vec![0; SegmentMap::MAX_SEGMENTS],
            present: Vec::new(),
        }
    }
}

impl Votes {
    fn count(&mut self, ids: &[u16]) {
        for run in ids.chunk_by(|one, other| one == other) {
            let count = &mut self.counts[usize::from(run[0])];
            if *count == 0 {
                self.present.push(run[0]);
            }
            #[expect(clippy::cast_possible_truncation, reason = "a map's side has 32 bits")]
            let votes = run.len() as u32;
            *count = count.saturating_add(votes);
        }
    }

    /// The commonest id, of equals the smallest, and starts anew.
    fn winner(&mut self) -> u16 {
        let mut winner = (0, 0);
        for id in self.present.drain(..) {
            let count = std::mem::take(&mut self.counts[usize::from(id)]);
            if count > winner.0 || (count == winner.0 && id < winner.1) {
                winner = (count, id);
            }
        }
        winner.1
    }
}
