//! A writer of pickles: strings, truth values, mappings and NumPy arrays, in a fixed set of protocol 3's opcodes.
//!
//! The globals that it names are NumPy's constructors of arrays, which every NumPy reads. It writes no memo: a
//! value that is used twice is written twice.

use std::io::{self, Write};

use detcon_core::checkpoint::little_endian;

/// Opcodes, as `pickletools` names them.
mod op {
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const STOP: u8 = b'.';
    pub(super) const MARK: u8 = b'(';
    pub(super) const NONE: u8 = b'N';
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const BININT: u8 = b'J';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BUILD: u8 = b'b';
}

/// The protocol: the oldest that has bytes.
const PROTOCOL: u8 = 3;
/// Where NumPy's constructors are, in its own pickles of version 1; version 2 reads them as well.
const MULTIARRAY: &str = "numpy.core.multiarray";

/// Types of elements that are written.
#[derive(Clone, Copy)]
enum Elements {
    Float32,
    Int32,
    Object,
}

impl Elements {
    /// NumPy's code, the byte order, and the state's sizes and flags.
    const fn row(self) -> (&'static str, &'static str, i32, i32) {
        match self {
            Self::Float32 => ("f4", "<", -1, 0),
            Self::Int32 => ("i4", "<", -1, 0),
            Self::Object => ("O8", "|", -1, 63),
        }
    }
}

/// A pickle being written.
pub(super) struct PickleWriter<W>(W);

impl<W: Write> PickleWriter<W> {
    pub(super) fn new(mut output: W) -> io::Result<Self> {
        output.write_all(&[op::PROTO, PROTOCOL])?;
        Ok(Self(output))
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.op(op::STOP)?;
        Ok(self.0)
    }

    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.op(op::BINUNICODE)?;
        self.length(text.len())?;
        self.0.write_all(text.as_bytes())
    }

    pub(super) fn truth(&mut self, value: bool) -> io::Result<()> {
        self.op(if value { op::NEWTRUE } else { op::NEWFALSE })
    }

    /// A mapping: `pairs` writes its keys and values in turn.
    pub(super) fn mapping(
        &mut self,
        pairs: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.op(op::EMPTY_DICT)?;
        self.op(op::MARK)?;
        pairs(self)?;
        self.op(op::SETITEMS)
    }

    /// A float32 array of `shape`, in C order.
    pub(super) fn array(&mut self, shape: &[usize], values: &[f32]) -> io::Result<()> {
        self.array_state(shape, Elements::Float32, |writer| {
            writer.op(op::BINBYTES)?;
            writer.length(size_of_val(values))?;
            for chunk in values.chunks(1 << 16) {
                writer.0.write_all(&little_endian(chunk))?;
            }
            Ok(())
        })
    }

    /// A 0-d array of one object, which is what `numpy.save` makes of a mapping.
    pub(super) fn boxed(
        &mut self,
        object: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.array_state(&[], Elements::Object, |writer| {
            writer.op(op::EMPTY_LIST)?;
            object(writer)?;
            writer.op(op::APPEND)
        })
    }

    /// A NumPy scalar.
    pub(super) fn int32(&mut self, value: i32) -> io::Result<()> {
        self.global(MULTIARRAY, "scalar")?;
        self.tuple(|writer| {
            writer.dtype(Elements::Int32)?;
            writer.bytes(&value.to_le_bytes())
        })?;
        self.op(op::REDUCE)
    }

    /// `_reconstruct(ndarray, (0,), b'b')`, then its state: version, shape, data type, order, data.
    fn array_state(
        &mut self,
        shape: &[usize],
        elements: Elements,
        data: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.global(MULTIARRAY, "_reconstruct")?;
        self.tuple(|writer| {
            writer.global("numpy", "ndarray")?;
            writer.tuple(|writer| writer.int(0))?;
            writer.bytes(b"b")
        })?;
        self.op(op::REDUCE)?;
        self.tuple(|writer| {
            writer.int(1)?;
            writer.tuple(|writer| shape.iter().try_for_each(|&axis| writer.axis(axis)))?;
            writer.dtype(elements)?;
            writer.truth(false)?;
            data(writer)
        })?;
        self.op(op::BUILD)
    }

    /// `dtype(code, False, True)`, then its state.
    fn dtype(&mut self, elements: Elements) -> io::Result<()> {
        let (code, order, size, flags) = elements.row();
        self.global("numpy", "dtype")?;
        self.tuple(|writer| {
            writer.text(code)?;
            writer.truth(false)?;
            writer.truth(true)
        })?;
        self.op(op::REDUCE)?;
        self.tuple(|writer| {
            writer.int(3)?;
            writer.text(order)?;
            (0..3).try_for_each(|_| writer.op(op::NONE))?;
            writer.int(size)?;
            writer.int(size)?;
            writer.int(flags)
        })?;
        self.op(op::BUILD)
    }

    fn tuple(&mut self, items: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.op(op::MARK)?;
        items(self)?;
        self.op(op::TUPLE)
    }

    fn global(&mut self, module: &str, name: &str) -> io::Result<()> {
        self.op(op::GLOBAL)?;
        write!(self.0, "{module}\n{name}\n")
    }

    fn int(&mut self, value: i32) -> io::Result<()> {
        self.op(op::BININT)?;
        self.0.write_all(&value.to_le_bytes())
    }

    fn axis(&mut self, axis: usize) -> io::Result<()> {
        self.int(i32::try_from(axis).map_err(io::Error::other)?)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.op(op::BINBYTES)?;
        self.length(bytes.len())?;
        self.0.write_all(bytes)
    }

    fn length(&mut self, length: usize) -> io::Result<()> {
        let length = u32::try_from(length).map_err(io::Error::other)?;
        self.0.write_all(&length.to_le_bytes())
    }

    fn op(&mut self, op: u8) -> io::Result<()> {
        self.0.write_all(&[op])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::{Limits, Value, parse};

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = PickleWriter::new(Vec::new()).unwrap();
        writer
            .boxed(|writer| {
                writer.mapping(|writer| {
                    writer.text("w")?;
                    writer.array(&[2, 1], &[1.5, -0.0])?;
                    writer.text("counter")?;
                    writer.int32(-7)?;
                    writer.text("yes")?;
                    writer.truth(true)
                })
            })
            .unwrap();
        let bytes = writer.finish().unwrap();
        let Value::Dict(pairs) = parse(&bytes, &Limits::default()).unwrap() else {
            panic!("no mapping")
        };
        let [
            (_, Value::Array(w)),
            (_, Value::Array(counter)),
            (_, Value::Bool(true)),
        ] = pairs.as_slice()
        else {
            panic!("{pairs:?}")
        };
        assert_eq!(
            (w.shape(), w.to_f32().unwrap()),
            (&[2, 1][..], vec![1.5, -0.0])
        );
        assert_eq!(
            (counter.shape(), counter.to_i64().unwrap()),
            (&[][..], vec![-7])
        );
    }
}
