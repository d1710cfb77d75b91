//! Files read in place, through a memory map.

#![expect(
    unsafe_code,
    reason = "a memory map cannot be made in safe Rust: another process may change the file under it"
)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

/// A file's bytes, which come into memory as they are read and leave it as memory is needed.
#[derive(Debug)]
pub(crate) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps the file at `path`. It is an error if that is no regular file: a pipe or a device has no fixed length.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        // SAFETY: the map is read-only and private to this value. Whoever shortens the file meanwhile ends the
        // program with SIGBUS, and whoever rewrites it changes numbers: every value read from it is plain bytes,
        // valid whatever they are, and no check is relied on after the bytes it was made on could have changed in
        // a way that Rust's types would notice (offsets are bounds-checked at each use).
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(map))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lets go of the memory that `part` of the bytes takes; reading them again brings them back from the file.
    /// Bytes that are not the file's are left alone.
    pub(crate) fn release(&self, part: &[u8]) {
        let start = (part.as_ptr() as usize).wrapping_sub(self.0.as_ptr() as usize);
        if start >= self.0.len() || part.len() > self.0.len() - start {
            return;
        }
        // SAFETY: the map is of a file and read-only, so dropped pages come back with the same bytes.
        let advised = unsafe {
            self.0
                .unchecked_advise_range(UncheckedAdvice::DontNeed, start, part.len())
        };
        // Advice that is not taken costs memory and nothing else.
        drop(advised);
    }
}
