//! The first directory of a TIFF file, which is also what EXIF blocks are.

/// Types of a field that hold one whole number in its entry (TIFF 6.0, section 2). Bytes are none: Pillow takes them
/// for text.
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// The entries of the first directory, 12 bytes each: tag, type, count, value.
pub(super) struct Directory<'a> {
    entries: &'a [[u8; 12]],
    big_endian: bool,
}

impl<'a> Directory<'a> {
    /// Of a file that begins as TIFF does; none where it ends before the directory does.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.starts_with(b"MM");
        let start = usize::try_from(read_u32(big_endian, *bytes.get(4..)?.first_chunk()?)).ok()?;
        let (count, rest) = bytes.get(start..)?.split_first_chunk()?;
        let entries = rest.get(..usize::from(read_u16(big_endian, *count)) * 12)?;
        Some(Self {
            entries: entries.as_chunks().0,
            big_endian,
        })
    }

    /// The whole number of a tag, of whatever type it is written in.
    pub(super) fn number(&self, tag: u16) -> Option<u32> {
        let short = |bytes| read_u16(self.big_endian, bytes);
        let entry = self
            .entries
            .iter()
            .find(|entry| short([entry[0], entry[1]]) == tag)?;
        match short([entry[2], entry[3]]) {
            SHORT => Some(short([entry[8], entry[9]]).into()),
            LONG => Some(read_u32(self.big_endian, *entry.last_chunk()?)),
            _ => None,
        }
    }
}

const fn read_u16(big_endian: bool, bytes: [u8; 2]) -> u16 {
    if big_endian {
        u16::from_be_bytes(bytes)
    } else {
        u16::from_le_bytes(bytes)
    }
}

const fn read_u32(big_endian: bool, bytes: [u8; 4]) -> u32 {
    if big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}
