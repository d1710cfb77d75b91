//! A source's arrays, read where they lie.

use detcon_core::checkpoint::SourceArray;

use crate::location::Opened;
use crate::pickle::Array;

/// An array that lets go of the file's memory once it was read.
pub(super) struct InPlace<'a> {
    pub(super) array: Array<'a>,
    pub(super) file: &'a Opened,
}

impl SourceArray for InPlace<'_> {
    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn to_f32(&self) -> Result<Vec<f32>, String> {
        let values = self.array.to_f32().map_err(|error| error.to_string());
        self.file.release(self.array.bytes());
        values
    }
}
