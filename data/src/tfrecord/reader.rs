//! Records in. Both checksums are checked, the length's before it is believed, and memory grows with the bytes that
//! are there, never with the length alone.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::checksum::masked_crc32c;

const LENGTH: usize = 8;
const CHECKSUM: usize = 4;
/// What a gzip file begins with: its magic number and its one method (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// Reserved before the first byte of a payload is seen.
const RESERVED: u64 = 1 << 20;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the record starts in its file, in bytes.
    pub offset: u64,
    /// What it holds.
    pub payload: Bytes,
}

/// Why a record could not be read. `offset` is the byte of the file where the record starts.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The length is not what was written. Nothing after it can be found.
    #[error("the record at byte {offset} has a length that does not match its checksum")]
    LengthChecksum {
        /// Start of the record.
        offset: u64,
    },
    /// A compressed file.
    #[error(
        "it is compressed with gzip, and shards are read as they are: unpack it (gunzip) under a shard's name"
    )]
    Gzip,
    /// A length above the limit. Nothing after it is read.
    #[error("the record at byte {offset} has {bytes} bytes, and at most {limit} are read")]
    TooLong {
        /// Start of the record.
        offset: u64,
        /// Its length.
        bytes: u64,
        /// Most bytes of a payload.
        limit: u64,
    },
    /// The file ends before the record does.
    #[error("the file ends inside the record at byte {offset}")]
    Truncated {
        /// Start of the record.
        offset: u64,
    },
    /// The payload is not what was written. The next record can still be read.
    #[error("the record at byte {offset} has data that does not match its checksum")]
    PayloadChecksum {
        /// Start of the record.
        offset: u64,
    },
    /// The source could not be read.
    #[error("the record at byte {offset} could not be read: {source}")]
    Io {
        /// Start of the record.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl RecordError {
    /// What the bytes of a length are that are not what was written.
    fn strange_length(offset: u64, length: &[u8]) -> Self {
        if offset == 0 && length.starts_with(&GZIP) {
            return Self::Gzip;
        }
        Self::LengthChecksum { offset }
    }
}

/// Reads records one after the other. It ends at the end of the source, or after an error that hides where the next
/// record starts; after [`RecordError::PayloadChecksum`] it goes on.
#[derive(Debug)]
pub struct RecordReader<R> {
    source: R,
    offset: u64,
    limit: u64,
    ended: bool,
}

impl<R: Read> RecordReader<R> {
    /// Most bytes of a payload unless [`Self::with_limit`] says otherwise: 256 MiB, four masks of the largest image.
    pub const PAYLOAD_LIMIT: u64 = 256 << 20;

    /// Reads from `source`, which should be buffered.
    pub const fn new(source: R) -> Self {
        Self::with_limit(source, Self::PAYLOAD_LIMIT)
    }

    /// Says where in its file the source starts, so that errors and records do.
    #[must_use]
    pub const fn starting_at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Reads records of at most `limit` bytes.
    pub const fn with_limit(source: R, limit: u64) -> Self {
        Self {
            source,
            offset: 0,
            limit,
            ended: false,
        }
    }

    fn read(&mut self) -> Result<Option<Record>, RecordError> {
        let offset = self.offset;
        let header = self.take((LENGTH + CHECKSUM) as u64)?;
        if header.is_empty() {
            return Ok(None);
        }
        let (length, checksum) = header
            .split_first_chunk::<LENGTH>()
            .ok_or(RecordError::Truncated { offset })?;
        if !matches(length, checksum).ok_or(RecordError::Truncated { offset })? {
            return Err(RecordError::strange_length(offset, length));
        }
        let (bytes, limit) = (u64::from_le_bytes(*length), self.limit);
        if bytes > limit {
            return Err(RecordError::TooLong {
                offset,
                bytes,
                limit,
            });
        }
        let payload = self.take(bytes)?;
        let checksum = self.take(CHECKSUM as u64)?;
        if payload.len() as u64 != bytes {
            return Err(RecordError::Truncated { offset });
        }
        let intact = matches(&payload, &checksum).ok_or(RecordError::Truncated { offset })?;
        self.offset = offset + (LENGTH + 2 * CHECKSUM) as u64 + bytes;
        if !intact {
            return Err(RecordError::PayloadChecksum { offset });
        }
        let payload = payload.into();
        Ok(Some(Record { offset, payload }))
    }

    /// The next `bytes` bytes, or fewer at the end of the source.
    fn take(&mut self, bytes: u64) -> Result<Vec<u8>, RecordError> {
        let mut taken = Vec::with_capacity(usize::try_from(bytes.min(RESERVED)).unwrap_or(0));
        let mut part = self.source.by_ref().take(bytes);
        part.read_to_end(&mut taken)
            .map_err(|source| RecordError::Io {
                offset: self.offset,
                source,
            })?;
        Ok(taken)
    }
}

/// Where each record of a file starts, by its lengths alone: payloads are not read.
pub fn index<R: Read + Seek>(source: &mut R) -> Result<Vec<u64>, RecordError> {
    let mut offsets = Vec::new();
    let mut offset = 0;
    let failed = |offset| move |source| RecordError::Io { offset, source };
    let end = source.seek(SeekFrom::End(0)).map_err(failed(0))?;
    while offset < end {
        source
            .seek(SeekFrom::Start(offset))
            .map_err(failed(offset))?;
        let mut header = [0; LENGTH + CHECKSUM];
        if end - offset < header.len() as u64 {
            return Err(RecordError::Truncated { offset });
        }
        source.read_exact(&mut header).map_err(failed(offset))?;
        let (length, checksum) = header.split_at(LENGTH);
        if matches(length, checksum) != Some(true) {
            return Err(RecordError::strange_length(offset, length));
        }
        let length = length
            .first_chunk()
            .map_or(0, |length| u64::from_le_bytes(*length));
        offsets.push(offset);
        let frame = (LENGTH + 2 * CHECKSUM) as u64;
        let next = length
            .checked_add(frame)
            .and_then(|bytes| offset.checked_add(bytes));
        offset = next
            .filter(|&next| next <= end)
            .ok_or(RecordError::Truncated { offset })?;
    }
    Ok(offsets)
}

/// Whether `bytes` have the checksum; nothing if there is no whole checksum.
fn matches(bytes: &[u8], checksum: &[u8]) -> Option<bool> {
    let checksum: [u8; CHECKSUM] = checksum.try_into().ok()?;
    Some(u32::from_le_bytes(checksum) == masked_crc32c(bytes))
}

impl<R: Read> Iterator for RecordReader<R> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read();
        self.ended = match &record {
            Ok(Some(_)) | Err(RecordError::PayloadChecksum { .. }) => false,
            Ok(None)
            | Err(
                RecordError::LengthChecksum { .. }
                | RecordError::Gzip
                | RecordError::TooLong { .. }
                | RecordError::Truncated { .. }
                | RecordError::Io { .. },
            ) => true,
        };
        record.transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::RecordWriter;
    use super::*;

    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = RecordWriter::new(Vec::new());
        for payload in payloads {
            writer.write(payload).unwrap();
        }
        writer.into_inner()
    }

    fn offset_of(error: &RecordError) -> u64 {
        match error {
            RecordError::LengthChecksum { offset }
            | RecordError::TooLong { offset, .. }
            | RecordError::Truncated { offset }
            | RecordError::PayloadChecksum { offset }
            | RecordError::Io { offset, .. } => *offset,
            RecordError::Gzip => 0,
        }
    }

    /// The second of three records, of 5 bytes at byte 19, with one byte changed at a time.
    #[test]
    fn a_changed_byte_is_an_error_that_names_the_record() {
        let payloads = [b"one".to_vec(), b"three".to_vec(), b"five".to_vec()];
        let whole = file(&payloads);
        for place in 19..19 + 8 + 4 + 5 + 4 {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            let read: Vec<_> = RecordReader::new(damaged.as_slice()).collect();
            assert_eq!(read[0].as_ref().unwrap().payload, payloads[0]);
            let error = read[1].as_ref().unwrap_err();
            assert_eq!(offset_of(error), 19, "byte {place}");
            if place < 19 + 12 {
                assert!(matches!(error, RecordError::LengthChecksum { .. }));
                assert_eq!(read.len(), 2, "what follows a wrong length is not known");
            } else {
                assert!(matches!(error, RecordError::PayloadChecksum { .. }));
                assert_eq!(read[2].as_ref().unwrap().payload, payloads[2]);
            }
        }
    }

    #[test]
    fn a_file_cut_anywhere_inside_a_record_is_an_error() {
        let whole = file(&[b"one".to_vec(), b"three".to_vec()]);
        for length in 0..whole.len() {
            let last = RecordReader::new(&whole[..length]).last();
            if length == 0 || length == 19 {
                assert!(last.is_none_or(|record| record.is_ok()));
            } else {
                let error = last.unwrap().unwrap_err();
                assert!(matches!(error, RecordError::Truncated { .. }), "{length}");
            }
        }
    }

    #[test]
    fn a_length_with_a_right_checksum_is_not_believed_either() {
        for (length, limit) in [
            (u64::MAX, u64::MAX),
            (1 << 40, u64::MAX),
            (1 << 40, 1 << 20),
        ] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(masked_crc32c(&bytes).to_le_bytes());
            bytes.extend([0; 100]);
            let mut reader = RecordReader::with_limit(bytes.as_slice(), limit);
            let error = reader.next().unwrap().unwrap_err();
            match error {
                RecordError::TooLong { bytes, .. } => assert!(bytes > limit),
                RecordError::Truncated { offset } => assert_eq!((offset, limit), (0, u64::MAX)),
                error => panic!("{error}"),
            }
            assert!(reader.next().is_none());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payloads in vec(vec(any::<u8>(), 0..300), 0..8)) {
            let bytes = file(&payloads);
            let read: Result<Vec<_>, _> = RecordReader::new(bytes.as_slice()).collect();
            let read: Vec<_> = read.unwrap().into_iter().map(|r| r.payload.to_vec()).collect();
            prop_assert_eq!(read, payloads);
        }

        #[test]
        fn random_bytes_are_refused_and_never_panic(bytes in vec(any::<u8>(), 1..300)) {
            let read: Result<Vec<_>, _> = RecordReader::new(bytes.as_slice()).collect();
            prop_assert!(read.is_err());
        }
    }
}
