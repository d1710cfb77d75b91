//! A view of a network's dense features. It refuses values that do not fill its shape.

use super::SegmentError;

/// Features [C, height, width] in row-major order, borrowed. Never empty.
#[derive(Clone, Copy)]
pub struct FeatureMap<'a> {
    values: &'a [f32],
    height: u32,
    width: u32,
}

impl<'a> FeatureMap<'a> {
    /// Borrows `channels * height * width` values.
    pub fn new(
        values: &'a [f32],
        channels: usize,
        height: u32,
        width: u32,
    ) -> Result<Self, SegmentError> {
        let cells = usize::try_from(u64::from(height) * u64::from(width)).ok();
        let expected = cells.and_then(|cells| cells.checked_mul(channels));
        if values.is_empty() || expected != Some(values.len()) {
            return Err(SegmentError::Features {
                channels,
                height,
                width,
                values: values.len(),
            });
        }
        Ok(Self {
            values,
            height,
            width,
        })
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Columns.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Cells of the grid, rows times columns.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.height as usize * self.width as usize
    }

    /// Channels.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.values.len() / self.cells()
    }

    /// Each channel's cells, row-major.
    pub fn planes(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.cells())
    }
}

impl std::fmt::Debug for FeatureMap<'_> {
    /// Its shape alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (channels, height, width) = (self.channels(), self.height, self.width);
        write!(f, "FeatureMap({channels}x{height}x{width})")
    }
}
