//! Records out.

use std::io::{self, Write};

use super::checksum::masked_crc32c;

/// Writes records to a sink, which should be buffered.
#[derive(Debug)]
pub struct RecordWriter<W> {
    sink: W,
}

impl<W: Write> RecordWriter<W> {
    /// Appends to `sink`.
    pub const fn new(sink: W) -> Self {
        Self { sink }
    }

    /// Writes one record.
    pub fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = (payload.len() as u64).to_le_bytes();
        self.sink.write_all(&length)?;
        self.sink.write_all(&masked_crc32c(&length).to_le_bytes())?;
        self.sink.write_all(payload)?;
        self.sink.write_all(&masked_crc32c(payload).to_le_bytes())
    }

    /// The sink, with every record in it.
    pub fn into_inner(self) -> W {
        self.sink
    }
}
