//! TFRecord: a sequence of byte strings, each framed by its length and two checksums.
//!
//! A record is the payload's length (8 bytes), the length's checksum (4), the payload, the payload's checksum (4); all
//! little-endian. Source: TensorFlow's `record_writer.h`. Compressed files are not read.

mod checksum;
mod reader;
mod writer;

pub use self::reader::{Record, RecordError, RecordReader, index};
pub use self::writer::RecordWriter;
