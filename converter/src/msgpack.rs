//! flax's checkpoints (`flax.serialization.to_bytes`, orbax's before it had folders): msgpack with arrays as extensions.
//! Bytes are borrowed from the file; lengths are held to what is left of it before anything is allocated.
//!
//! Source: `_msgpack_ext_pack`, `_ndarray_to_bytes` and `_chunk` of flax's `flax/serialization.py`. Arrays of more than a
//! gibibyte, which flax cuts into pieces, are refused: no weight of a `ResNet` is as large.

use rmp::Marker;
use rmp::decode::{RmpRead as _, read_marker};

use crate::pickle::{
    Array, AxisOrder, ByteOrder, DType, Data, Encoding, Limits, Text, Value, readable,
};

/// flax's number for an array, and for a NumPy scalar, which is an array without axes.
const NDARRAY: i8 = 1;
const SCALAR: i8 = 3;
/// The key that tells an array in pieces.
const CHUNKED: &str = "__msgpack_chunked_array__";

/// Why msgpack cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackError {
    /// It ends early, or has a byte that msgpack does not.
    #[error("the msgpack is damaged at byte {offset}: it was not saved or fetched whole")]
    Damaged {
        /// Where.
        offset: usize,
    },
    /// It nests deeper, or has more values, than any checkpoint.
    #[error("the msgpack goes past {what} at byte {offset}: {allowed} is the most allowed")]
    Limit {
        /// Where.
        offset: usize,
        /// Which limit.
        what: &'static str,
        /// The most allowed.
        allowed: u64,
    },
    /// A key that is there twice.
    #[error("a mapping in the msgpack has the key {key:?} twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// An array in pieces.
    #[error(
        "an array in the msgpack is in pieces of a gibibyte: no weight of a ResNet is as large"
    )]
    Chunked,
}

/// Whether a file of these bytes may be flax's: it begins with a mapping whose first key is text.
pub(crate) fn is_msgpack(bytes: &[u8]) -> bool {
    let text = |byte: Option<&u8>| {
        byte.is_some_and(|byte| {
            matches!(
                Marker::from_u8(*byte),
                Marker::FixStr(1..) | Marker::Str8 | Marker::Str16
            )
        })
    };
    match bytes.first().map(|byte| Marker::from_u8(*byte)) {
        Some(Marker::FixMap(1..)) => text(bytes.get(1)) && read(bytes, &Limits::default()).is_ok(),
        Some(Marker::Map16) => text(bytes.get(3)) && read(bytes, &Limits::default()).is_ok(),
        _ => false,
    }
}

/// Reads the value that fills `bytes`.
pub(crate) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Value<'a>, MsgpackError> {
    let mut reader = Reader {
        rest: bytes,
        length: bytes.len(),
        values: 0,
        limits,
    };
    let value = reader.value(0)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(reader.damaged())
    }
}

struct Reader<'a, 'l> {
    rest: &'a [u8],
    length: usize,
    values: u64,
    limits: &'l Limits,
}

impl<'a> Reader<'a, '_> {
    fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    fn damaged(&self) -> MsgpackError {
        MsgpackError::Damaged {
            offset: self.offset(),
        }
    }

    /// Recurses no deeper than `Limits::depth`.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, MsgpackError> {
        self.values += 1;
        let over = |what, allowed| MsgpackError::Limit {
            offset: self.offset(),
            what,
            allowed,
        };
        if depth > self.limits.depth {
            return Err(over("the depth of nesting", self.limits.depth as u64));
        }
        if self.values > self.limits.values {
            return Err(over("the number of values", self.limits.values));
        }
        let marker = read_marker(&mut self.rest).map_err(|_| self.damaged())?;
        match marker {
            Marker::Null => Ok(Value::None),
            Marker::True => Ok(Value::Bool(true)),
            Marker::False => Ok(Value::Bool(false)),
            Marker::F32 => self
                .number(|rest| rest.read_data_f32().ok())
                .map(|it| Value::Float(it.into())),
            Marker::F64 => self
                .number(|rest| rest.read_data_f64().ok())
                .map(Value::Float),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => self.text(marker),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = self.size(marker)?;
                self.take(length)
                    .map(|bytes| Value::Bytes(Data::File(bytes)))
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => self.list(marker, depth),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => self.mapping(marker, depth),
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => self.extension(marker),
            Marker::Reserved => Err(self.damaged()),
            integer => self.integer(integer),
        }
    }

    fn number<T>(&mut self, read: impl Fn(&mut &'a [u8]) -> Option<T>) -> Result<T, MsgpackError> {
        let damaged = self.damaged();
        read(&mut self.rest).ok_or(damaged)
    }

    fn integer(&mut self, marker: Marker) -> Result<Value<'a>, MsgpackError> {
        self.number(|rest| {
            Some(match marker {
                Marker::FixPos(value) => i64::from(value),
                Marker::FixNeg(value) => i64::from(value),
                Marker::U8 => i64::from(rest.read_data_u8().ok()?),
                Marker::U16 => i64::from(rest.read_data_u16().ok()?),
                Marker::U32 => i64::from(rest.read_data_u32().ok()?),
                Marker::U64 => i64::try_from(rest.read_data_u64().ok()?).ok()?,
                Marker::I8 => i64::from(rest.read_data_i8().ok()?),
                Marker::I16 => i64::from(rest.read_data_i16().ok()?),
                Marker::I32 => i64::from(rest.read_data_i32().ok()?),
                Marker::I64 => rest.read_data_i64().ok()?,
                _ => return None,
            })
        })
        .map(Value::Int)
    }

    /// How many bytes or items follow a marker.
    fn size(&mut self, marker: Marker) -> Result<usize, MsgpackError> {
        let size = self.number(|rest| {
            Some(match marker {
                Marker::FixStr(size) | Marker::FixArray(size) | Marker::FixMap(size) => {
                    u32::from(size)
                }
                Marker::FixExt1 => 1,
                Marker::FixExt2 => 2,
                Marker::FixExt4 => 4,
                Marker::FixExt8 => 8,
                Marker::FixExt16 => 16,
                Marker::Str8 | Marker::Bin8 | Marker::Ext8 => u32::from(rest.read_data_u8().ok()?),
                Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => {
                    u32::from(rest.read_data_u16().ok()?)
                }
                _ => rest.read_data_u32().ok()?,
            })
        })?;
        usize::try_from(size).map_err(|_| self.damaged())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MsgpackError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self, marker: Marker) -> Result<Value<'a>, MsgpackError> {
        let damaged = self.damaged();
        let length = self.size(marker)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| damaged)?;
        Ok(Value::Str(Text::File(text)))
    }

    /// An item takes a byte at least.
    fn count(&mut self, marker: Marker) -> Result<usize, MsgpackError> {
        let count = self.size(marker)?;
        if count > self.rest.len() {
            return Err(self.damaged());
        }
        Ok(count)
    }

    fn list(&mut self, marker: Marker, depth: usize) -> Result<Value<'a>, MsgpackError> {
        let count = self.count(marker)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn mapping(&mut self, marker: Marker, depth: usize) -> Result<Value<'a>, MsgpackError> {
        let count = self.count(marker)?;
        let mut seen = std::collections::HashSet::new();
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = self.value(depth + 1)?;
            if let Value::Str(text) = &key {
                if &**text == CHUNKED {
                    return Err(MsgpackError::Chunked);
                }
                if !seen.insert(text.to_string()) {
                    return Err(MsgpackError::DuplicateKey {
                        key: readable(text),
                    });
                }
            }
            pairs.push((key, self.value(depth + 1)?));
        }
        Ok(Value::Dict(pairs))
    }

    /// An array, or bytes of another meaning, which are none of a network's.
    fn extension(&mut self, marker: Marker) -> Result<Value<'a>, MsgpackError> {
        let length = self.size(marker)?;
        let kind = self.number(|rest| rest.read_data_i8().ok())?;
        let start = self.offset();
        let bytes = self.take(length)?;
        if kind != NDARRAY && kind != SCALAR {
            return Ok(Value::Bytes(Data::File(bytes)));
        }
        array(bytes)
            .map(Value::Array)
            .ok_or(MsgpackError::Damaged { offset: start })
    }
}

/// A list of shape, name of the type, and bytes in C order.
fn array(bytes: &[u8]) -> Option<Array<'_>> {
    let limits = Limits {
        depth: 2,
        values: 32,
        ..Limits::default()
    };
    let Value::List(parts) = read(bytes, &limits).ok()? else {
        return None;
    };
    let [Value::List(axes), name, Value::Bytes(data)] = parts.as_slice() else {
        return None;
    };
    let length = |value: &Value<'_>| match value {
        Value::Int(length) => usize::try_from(*length).ok(),
        _ => None,
    };
    let shape: Option<Vec<usize>> = axes.iter().map(length).collect();
    let encoding = Encoding {
        dtype: DType::from_name(name.as_text()?)?,
        byte_order: ByteOrder::Little,
        axis_order: AxisOrder::C,
    };
    Array::new(shape?, encoding, data.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{name: array of one float}`, as flax packs it.
    fn one(name: &str) -> Vec<u8> {
        let inner = [
            &b"\x93\x91\x01\xa7float32\xc4\x04"[..],
            &1.5_f32.to_le_bytes(),
        ]
        .concat();
        let mut bytes = vec![0x81, 0xa0 | u8::try_from(name.len()).unwrap()];
        bytes.extend(name.as_bytes());
        bytes.extend([0xc7, u8::try_from(inner.len()).unwrap(), 1]);
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn an_array_is_read_as_flax_packs_it() {
        let bytes = one("kernel");
        assert!(is_msgpack(&bytes));
        let Value::Dict(pairs) = read(&bytes, &Limits::default()).unwrap() else {
            panic!("no mapping");
        };
        let (key, Value::Array(array)) = &pairs[0] else {
            panic!("no array");
        };
        assert_eq!(key.as_text(), Some("kernel"));
        assert_eq!(
            (array.shape(), array.to_f32().unwrap()),
            (&[1][..], vec![1.5])
        );
    }

    #[test]
    fn cut_anywhere_it_is_damaged_and_never_a_panic() {
        let bytes = one("kernel");
        for length in 0..bytes.len() {
            assert!(
                read(&bytes[..length], &Limits::default()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn lists_without_end_and_lengths_beyond_the_file_are_refused() {
        let nested = [0x91].repeat(100_000);
        let error = read(&nested, &Limits::default()).unwrap_err();
        assert!(matches!(error, MsgpackError::Limit { .. }), "{error}");
        for bytes in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
            b"\xc1",
        ] {
            let error = read(bytes, &Limits::default()).unwrap_err();
            assert!(matches!(error, MsgpackError::Damaged { .. }), "{error}");
        }
        let twice = b"\x82\xa1a\x01\xa1a\x02";
        let error = read(twice, &Limits::default()).unwrap_err();
        assert!(
            matches!(error, MsgpackError::DuplicateKey { .. }),
            "{error}"
        );
    }
}
