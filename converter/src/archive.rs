//! Zip archives: what `torch.save` writes, with every member stored, and NumPy's, whose members may be compressed.
//! Whatever a hostile archive may say of lengths and places is checked against the file. A member is decompressed to the
//! length that the directory says and no further, and all of them to a multiple of the file's own length.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::sync::Arc;

use flate2::read::DeflateDecoder;

use crate::pickle::Data;

/// Most members. A ResNet-200 with its optimizer has some 4 000.
const MAX_MEMBERS: u64 = 100_000;
/// Longest comment that a zip archive may end with.
const MAX_COMMENT: usize = 0xffff;

/// Most times that the decompressed members are as long as the file, beyond [`SMALL`]: weights hardly compress.
const MAX_RATIO: u64 = 64;
/// What members may decompress to whatever the file's length is.
const SMALL: u64 = 16 << 20;

/// First bytes of the records of a zip archive.
mod signature {
    pub(super) const END: &[u8] = b"PK\x05\x06";
    pub(super) const END64_LOCATOR: &[u8] = b"PK\x06\x07";
    pub(super) const END64: &[u8] = b"PK\x06\x06";
    pub(super) const CENTRAL: &[u8] = b"PK\x01\x02";
    pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
}

/// Why an archive cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The directory at its end is missing or does not fit the file.
    #[error("the archive is damaged at byte {offset}: it was not saved or fetched whole")]
    Damaged {
        /// Where.
        offset: usize,
    },
    /// A member that is not stored as it is.
    #[error(
        "{name:?} in the archive is compressed or encrypted, as neither torch.save nor NumPy writes it"
    )]
    NotStored {
        /// The member.
        name: String,
    },
    /// A member whose compressed bytes are not what the directory says.
    #[error(
        "{name:?} in the archive does not decompress to the {length} bytes that its directory says"
    )]
    Compressed {
        /// The member.
        name: String,
        /// Its length when decompressed.
        length: u64,
    },
    /// A zip bomb.
    #[error("the archive decompresses to more than {most} bytes: no weights compress so well")]
    TooLarge {
        /// The most that is allowed.
        most: u64,
    },
    /// More members than any checkpoint has.
    #[error("the archive has {count} members; {MAX_MEMBERS} is the most allowed")]
    TooMany {
        /// How many.
        count: u64,
    },
    /// Two members of one name.
    #[error("the archive has {name:?} twice: the file is damaged or hostile")]
    Duplicate {
        /// The member.
        name: String,
    },
    /// Not what `torch.save` writes.
    #[error("the archive has no data.pkl: torch.save did not write it, or TorchScript did")]
    NoPickle,
}

/// Members by name, each a place in the file.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    members: BTreeMap<&'a str, Place>,
    /// Bytes that members may still be decompressed to.
    left: u64,
}

/// Where a member is.
#[derive(Clone, Debug)]
struct Place {
    bytes: Range<usize>,
    /// Its length when decompressed, where it is compressed.
    unpacked: Option<u64>,
}

impl<'a> Archive<'a> {
    /// Reads the archive's directory.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let (count, mut at) = directory(bytes)?;
        if count > MAX_MEMBERS {
            return Err(ArchiveError::TooMany { count });
        }
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let damaged = ArchiveError::Damaged { offset: at };
            let member = Member::read(bytes, at).ok_or_else(|| damaged.clone())?;
            let name = readable(member.name);
            let unpacked = match member.method {
                Method::Stored => None,
                Method::Deflated => Some(member.length),
                Method::Other => return Err(ArchiveError::NotStored { name }),
            };
            let place = Place {
                bytes: member.place(bytes).ok_or(damaged)?,
                unpacked,
            };
            if members.insert(member.name, place).is_some() {
                return Err(ArchiveError::Duplicate { name });
            }
            at = member.next;
        }
        let left = (bytes.len() as u64)
            .saturating_mul(MAX_RATIO)
            .saturating_add(SMALL);
        Ok(Self {
            bytes,
            members,
            left,
        })
    }

    /// The folder that everything is in, with its slash, and the place of the pickle in it.
    pub(crate) fn pickle(&self) -> Result<(&'a str, Range<usize>), ArchiveError> {
        let is_pickle = |name: &str| {
            name.strip_suffix("data.pkl")
                .is_some_and(|folder| folder.ends_with('/') && folder.matches('/').count() == 1)
        };
        let mut members = self.members.iter();
        let (name, place) = members
            .find(|(name, _)| is_pickle(name))
            .ok_or(ArchiveError::NoPickle)?;
        match place.unpacked {
            None => Ok((name.trim_end_matches("data.pkl"), place.bytes.clone())),
            Some(_) => Err(ArchiveError::NotStored {
                name: readable(name),
            }),
        }
    }

    /// A member's bytes, where they are stored as they are.
    pub(crate) fn member(&self, name: &str) -> Option<&'a [u8]> {
        self.stored(self.members.get(name)?)
    }

    /// The members in a folder that are stored as they are: names without the folder, and bytes.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.members.iter().filter_map(move |(name, place)| {
            Some((name.strip_prefix(folder)?, self.stored(place)?))
        })
    }

    fn stored(&self, place: &Place) -> Option<&'a [u8]> {
        match place.unpacked {
            None => self.bytes.get(place.bytes.clone()),
            Some(_) => None,
        }
    }

    /// Every member with its bytes, decompressed one by one.
    pub(crate) fn unpacked(mut self) -> Result<Vec<(&'a str, Data<'a>)>, ArchiveError> {
        let most = self.left;
        let members = std::mem::take(&mut self.members);
        let mut all = Vec::with_capacity(members.len());
        for (name, place) in members {
            let bytes = self.bytes.get(place.bytes).unwrap_or_default();
            let Some(length) = place.unpacked else {
                all.push((name, Data::File(bytes)));
                continue;
            };
            self.left = self
                .left
                .checked_sub(length)
                .ok_or(ArchiveError::TooLarge { most })?;
            let inflated = inflate(bytes, length).ok_or_else(|| ArchiveError::Compressed {
                name: readable(name),
                length,
            })?;
            all.push((name, Data::Decoded(Arc::from(inflated))));
        }
        Ok(all)
    }
}

fn readable(name: &str) -> String {
    crate::pickle::readable(name)
}

/// Exactly `length` bytes, or none: memory is taken as they come.
fn inflate(bytes: &[u8], length: u64) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let mut reader = DeflateDecoder::new(bytes).take(length.checked_add(1)?);
    reader.read_to_end(&mut inflated).ok()?;
    (inflated.len() as u64 == length).then_some(inflated)
}

/// How many members the central directory lists, and where it starts.
fn directory(bytes: &[u8]) -> Result<(u64, usize), ArchiveError> {
    const LENGTH: usize = 22;
    let first = bytes.len().saturating_sub(LENGTH + MAX_COMMENT);
    let damaged = ArchiveError::Damaged {
        offset: bytes.len(),
    };
    let tail = bytes.get(first..).unwrap_or_default();
    let end = tail
        .windows(signature::END.len())
        .rposition(|window| window == signature::END)
        .map(|place| first + place)
        .ok_or_else(|| damaged.clone())?;
    let read = || {
        let (count, offset) = (u16_at(bytes, end + 10)?, u32_at(bytes, end + 16)?);
        if count != u64::from(u16::MAX) && offset != u64::from(u32::MAX) {
            return Some((count, offset));
        }
        let locator = end.checked_sub(20)?;
        let record = usize::try_from(u64_at(bytes, locator + 8)?).ok()?;
        (starts(bytes, locator, signature::END64_LOCATOR)
            && starts(bytes, record, signature::END64))
        .then_some(())?;
        Some((
            u64_at(bytes, record.checked_add(32)?)?,
            u64_at(bytes, record.checked_add(48)?)?,
        ))
    };
    let (count, offset) = read().ok_or_else(|| damaged.clone())?;
    Ok((count, usize::try_from(offset).map_err(|_| damaged)?))
}

/// How a member is compressed.
#[derive(Clone, Copy)]
enum Method {
    Stored,
    Deflated,
    Other,
}

/// An entry of the central directory.
struct Member<'a> {
    name: &'a str,
    method: Method,
    /// Bytes in the file.
    packed: u64,
    /// Bytes when decompressed.
    length: u64,
    local: u64,
    /// Where the next entry is.
    next: usize,
}

impl<'a> Member<'a> {
    fn read(bytes: &'a [u8], at: usize) -> Option<Self> {
        const LENGTH: usize = 46;
        starts(bytes, at, signature::CENTRAL).then_some(())?;
        let length = |offset| usize::try_from(u16_at(bytes, at.checked_add(offset)?)?).ok();
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let variable = bytes.get(at.checked_add(LENGTH)?..)?;
        let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
        let (packed, unpacked) = (u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
        let mut large = Large(variable.get(name..)?.get(..extra)?);
        // The order in the extra field is unpacked, packed, place: each only where the short field overflows.
        let unpacked = large.or(unpacked)?;
        let packed = large.or(packed)?;
        let local = large.or(u32_at(bytes, at + 42)?)?;
        Some(Self {
            name: std::str::from_utf8(variable.get(..name)?).ok()?,
            method: match (method, flags & 1) {
                (0, 0) if packed == unpacked => Method::Stored,
                (8, 0) => Method::Deflated,
                _ => Method::Other,
            },
            packed,
            length: unpacked,
            local,
            next: at.checked_add(LENGTH + name + extra + comment)?,
        })
    }

    fn place(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let at = usize::try_from(self.local).ok()?;
        starts(bytes, at, signature::LOCAL).then_some(())?;
        let name = usize::try_from(u16_at(bytes, at.checked_add(26)?)?).ok()?;
        let extra = usize::try_from(u16_at(bytes, at.checked_add(28)?)?).ok()?;
        let start = at.checked_add(30 + name + extra)?;
        let end = start.checked_add(usize::try_from(self.packed).ok()?)?;
        (end <= bytes.len()).then_some(start..end)
    }
}

/// The extra field of an entry, in which lengths of 4 GiB and more stand.
struct Large<'a>(&'a [u8]);

impl Large<'_> {
    /// `short`, or the next long length where it says that there is one.
    fn or(&mut self, short: u64) -> Option<u64> {
        if short != u64::from(u32::MAX) {
            return Some(short);
        }
        // The first long length is after the field's own header.
        if let Some(place) = self.header() {
            self.0 = self.0.get(place..)?;
        }
        let value = u64_at(self.0, 0)?;
        self.0 = self.0.get(8..)?;
        Some(value)
    }

    fn header(&self) -> Option<usize> {
        let mut at = 0;
        while let (Some(id), Some(length)) = (u16_at(self.0, at), u16_at(self.0, at + 2)) {
            if id == 1 && length % 8 == 0 {
                return Some(at + 4);
            }
            at = at
                .checked_add(4)?
                .checked_add(usize::try_from(length).ok()?)?;
        }
        None
    }
}

fn starts(bytes: &[u8], at: usize, signature: &[u8]) -> bool {
    bytes
        .get(at..)
        .is_some_and(|rest| rest.starts_with(signature))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u64::from(u16::from_le_bytes(*chunk)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u64::from(u32::from_le_bytes(*chunk)))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u64::from_le_bytes(*chunk))
}
