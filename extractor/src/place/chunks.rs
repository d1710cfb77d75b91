//! A file of a place, as the Parquet reader asks for it. Near pieces are fetched together: a bucket takes long to answer.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::{Failure, Place};

/// Fetched at a time.
const PIECE: u64 = 4 << 20;
/// Fetched together where a file ends, and so with it most of what its footer says.
const FOOTER: u64 = 1 << 16;

/// A file of a place that is read in pieces.
#[derive(Debug)]
pub struct Chunks {
    place: Place,
    name: String,
    length: u64,
    last: Arc<Mutex<Piece>>,
    failure: Failure,
}

/// The piece that was fetched last.
#[derive(Debug, Default)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Chunks {
    /// A file, which keeps in `failure` what its place says when it cannot be read.
    #[must_use]
    pub fn new(place: &Place, name: &str, length: u64, failure: &Failure) -> Self {
        Self {
            place: Arc::clone(place),
            name: name.to_owned(),
            length,
            last: Arc::default(),
            failure: failure.clone(),
        }
    }

    /// Bytes from `start` on, at least one and at most so many; none at the end.
    fn piece(&self, start: u64, most: u64) -> Result<Bytes> {
        let end = start.saturating_add(most).min(self.length);
        if start >= end {
            return Ok(Bytes::new());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.start..last.start + last.bytes.len() as u64;
        if !(known.contains(&start) && end <= known.end) {
            let fetched = if end == self.length {
                start.min(self.length.saturating_sub(FOOTER))..end
            } else {
                start..start.saturating_add(PIECE.max(most)).min(self.length)
            };
            let bytes = self.place.range(&self.name, fetched.clone());
            let bytes = bytes.map_err(|error| ParquetError::General(self.failure.keep(error)))?;
            *last = Piece {
                start: fetched.start,
                bytes,
            };
        }
        let from = usize::try_from(start - last.start).unwrap_or(usize::MAX);
        let to = usize::try_from(end - last.start).unwrap_or(usize::MAX);
        Ok(last.bytes.slice(from..to))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = Pages;

    fn get_read(&self, start: u64) -> Result<Pages> {
        Ok(Pages {
            file: Self {
                place: Arc::clone(&self.place),
                name: self.name.clone(),
                length: self.length,
                last: Arc::clone(&self.last),
                failure: self.failure.clone(),
            },
            start,
            bytes: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.piece(start, length as u64)?;
        if bytes.len() == length {
            return Ok(bytes);
        }
        Err(ParquetError::EOF(format!(
            "it has {} bytes, and {length} from byte {start} on are needed",
            self.length
        )))
    }
}

/// A file from a place in it on.
#[derive(Debug)]
pub struct Pages {
    file: Chunks,
    start: u64,
    bytes: Bytes,
}

/// Looked at together where a page's header is read.
const HEADER: u64 = 1 << 10;

impl Read for Pages {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            let most = (buffer.len() as u64).max(HEADER);
            let fetched = self.file.piece(self.start, most);
            self.bytes = fetched.map_err(io::Error::other)?;
            self.start += self.bytes.len() as u64;
        }
        let length = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
