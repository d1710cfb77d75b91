//! The label map. It refuses to be empty, and ids beyond 16 bits.

use super::SegmentError;

/// One id for every pixel: rows from the top, pixels from the left. Never empty. Ids may leave gaps; 0 is an id like
/// any other.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentMap {
    height: u32,
    width: u32,
    ids: Vec<u16>,
}

impl SegmentMap {
    /// Most segments that a map holds, and one more than its largest id.
    pub const MAX_SEGMENTS: usize = 1 << 16;

    /// Wraps `height * width` ids.
    pub fn new(height: u32, width: u32, ids: Vec<u16>) -> Result<Self, SegmentError> {
        let expected = usize::try_from(u64::from(height) * u64::from(width)).ok();
        if ids.is_empty() || expected != Some(ids.len()) {
            let labels = ids.len();
            return Err(SegmentError::Shape {
                height,
                width,
                labels,
            });
        }
        Ok(Self { height, width, ids })
    }

    /// Takes wider labels. One beyond 16 bits is an error: [`Self::compacted`] renumbers.
    pub fn from_labels(height: u32, width: u32, labels: &[u32]) -> Result<Self, SegmentError> {
        let ids = labels.iter().map(|&label| u16::try_from(label));
        let ids = ids.collect::<Result<_, _>>().map_err(|_| {
            let largest = labels.iter().copied().max().unwrap_or(0);
            SegmentError::TooManySegments {
                segments: largest as usize + 1,
            }
        })?;
        Self::new(height, width, ids)
    }

    /// Renumbers any labels 0, 1, 2 … in ascending order of the labels that occur.
    pub fn compacted(height: u32, width: u32, labels: &[u32]) -> Result<Self, SegmentError> {
        let mut distinct = labels.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let segments = distinct.len();
        if segments > Self::MAX_SEGMENTS {
            return Err(SegmentError::TooManySegments { segments });
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 2^16 distinct labels"
        )]
        let ids = labels.iter().map(|label| {
            let rank = distinct.binary_search(label);
            rank.unwrap_or_else(|place| place) as u16
        });
        Self::new(height, width, ids.collect())
    }

    /// The same segments, renumbered 0, 1, 2 … in ascending order of their ids.
    #[must_use]
    pub fn compact(&self) -> Self {
        let mut numbers = vec![0_u16; Self::MAX_SEGMENTS];
        for (number, id) in (0_u16..=u16::MAX).zip(self.distinct()) {
            numbers[usize::from(id)] = number;
        }
        let ids = self.ids.iter().map(|&id| numbers[usize::from(id)]);
        Self {
            ids: ids.collect(),
            ..*self
        }
    }

    /// The ids that occur, ascending.
    #[must_use]
    pub fn distinct(&self) -> Vec<u16> {
        let mut present = vec![false; Self::MAX_SEGMENTS];
        for &id in &self.ids {
            present[usize::from(id)] = true;
        }
        let ids = (0..=u16::MAX).zip(present);
        ids.filter_map(|(id, present)| present.then_some(id))
            .collect()
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

    /// The ids, height × width.
    #[must_use]
    pub fn ids(&self) -> &[u16] {
        &self.ids
    }

    /// The ids, to be moved about; any value is an id.
    pub(crate) fn ids_mut(&mut self) -> &mut [u16] {
        &mut self.ids
    }

    /// The ids of each row, from the top.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u16> {
        self.ids.chunks_exact(self.width as usize)
    }

    /// The largest id.
    #[must_use]
    pub fn largest_id(&self) -> u16 {
        self.ids.iter().copied().max().unwrap_or(0)
    }
}

impl std::fmt::Debug for SegmentMap {
    /// Its size alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentMap({}x{})", self.width, self.height)
    }
}
