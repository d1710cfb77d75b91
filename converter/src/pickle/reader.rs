//! Reads a pickle's opcodes one at a time. Frames and the protocol number are checked here and not passed on.
//! Refuses opcodes that no protocol has, operands past the input's end, and frames that do not fit. Nothing is
//! allocated for an operand that the file holds as it is.

use std::sync::Arc;

use super::arena::Node;
use super::error::{Limit, PickleError};
use super::escape;
use super::limits::Limits;
use super::op::{ObjectOp, Op, StackOp, without_operand};
use super::shared::{Data, Text};
use super::value::ClassName;

/// Bytes of the integers that are read.
const WORD: usize = 8;
/// Longest integer that is left out. The states of NumPy's generators have 128 bits; more than this is none of theirs.
const LONGEST_INTEGER: usize = 32;

/// Reads opcodes from a pickle that starts somewhere in `bytes` and ends where they end.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Start of the opcode being read.
    offset: usize,
    frame_end: Option<usize>,
    string_bytes: usize,
    name_bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], start: usize, limits: &Limits) -> Self {
        Self {
            bytes,
            at: start,
            offset: start,
            frame_end: None,
            string_bytes: limits.string_bytes,
            name_bytes: limits.name_bytes,
        }
    }

    /// Where the next opcode starts.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next instruction and where it is.
    pub(super) fn next_op(&mut self) -> Result<(usize, Op<'a>), PickleError> {
        loop {
            self.offset = self.at;
            if self.frame_end.is_some_and(|end| self.at >= end) {
                self.frame_end = None;
            }
            let code = self.byte()?;
            match code {
                0x80 => self.protocol()?,
                0x95 => self.frame()?,
                _ => return self.operation(code).map(|op| (self.offset, op)),
            }
        }
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        match self.byte()? {
            0..=5 => Ok(()),
            protocol => Err(PickleError::UnsupportedProtocol {
                offset: self.offset,
                protocol,
            }),
        }
    }

    /// A frame must fit the input and may not lie in another: its length is only a promise to buffered readers.
    fn frame(&mut self) -> Result<(), PickleError> {
        if self.frame_end.is_some() {
            return Err(PickleError::Frame {
                offset: self.offset,
            });
        }
        let length = u64::from_le_bytes(self.array()?);
        let left = self.remaining();
        let end = usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .map(|length| self.at + length);
        self.frame_end = Some(end.ok_or(PickleError::Truncated {
            offset: self.offset,
            needed: length,
            left,
        })?);
        Ok(())
    }

    fn operation(&mut self, code: u8) -> Result<Op<'a>, PickleError> {
        if let Some(op) = without_operand(code) {
            return Ok(op);
        }
        match code {
            b'F' | b'I' | b'L' | b'S' | b'V' | b'c' | b'g' | b'i' | b'p' | b'P' => {
                self.text_operation(code)
            }
            b'K' => Ok(int(self.byte()?)),
            b'M' => Ok(int(u16::from_le_bytes(self.array()?))),
            b'J' => Ok(int(i32::from_le_bytes(self.array()?))),
            b'G' => Ok(Op::Push(Node::Float(f64::from_be_bytes(self.array()?)))),
            0x8a => self.length_of_one().and_then(|length| self.long(length)),
            0x8b => self.length_of_four().and_then(|length| self.long(length)),
            0x8c => self.length_of_one().and_then(|length| self.unicode(length)),
            b'X' => self
                .length_of_four()
                .and_then(|length| self.unicode(length)),
            0x8d => self
                .length_of_eight()
                .and_then(|length| self.unicode(length)),
            b'C' | b'U' => self.length_of_one().and_then(|length| self.data(length)),
            b'B' | b'T' => self.length_of_four().and_then(|length| self.data(length)),
            0x8e | 0x96 => self.length_of_eight().and_then(|length| self.data(length)),
            b'h' => Ok(Op::Stack(StackOp::Get(self.length_of_one()?))),
            b'j' => Ok(Op::Stack(StackOp::Get(self.length_of_four()?))),
            b'q' => Ok(Op::Stack(StackOp::Put(self.length_of_one()?))),
            b'r' => Ok(Op::Stack(StackOp::Put(self.length_of_four()?))),
            0x82 => Ok(extension(self.byte()?)),
            0x83 => Ok(extension(u16::from_le_bytes(self.array()?))),
            0x84 => Ok(extension(u32::from_le_bytes(self.array()?))),
            _ => Err(PickleError::UnknownOpcode {
                offset: self.offset,
                code,
            }),
        }
    }

    /// Operations of protocol 0, whose operands are lines of text.
    fn text_operation(&mut self, code: u8) -> Result<Op<'a>, PickleError> {
        let offset = self.offset;
        let invalid = || PickleError::InvalidText { offset };
        let line = self.line()?;
        match code {
            b'F' => escape::float(line)
                .map(|value| Op::Push(Node::Float(value)))
                .ok_or_else(invalid),
            b'I' if line == b"00" => Ok(Op::Push(Node::Bool(false))),
            b'I' if line == b"01" => Ok(Op::Push(Node::Bool(true))),
            b'I' => escape::integer(line, offset).map(int),
            b'L' => escape::integer(line.strip_suffix(b"L").unwrap_or(line), offset).map(int),
            b'S' => escape::quoted(line)
                .map(|bytes| Op::Push(Node::Bytes(bytes)))
                .ok_or_else(invalid),
            b'V' => escape::unicode(line)
                .map(|text| Op::Push(Node::Text(text)))
                .ok_or_else(invalid),
            b'g' => escape::index(line)
                .map(|entry| Op::Stack(StackOp::Get(entry)))
                .ok_or_else(invalid),
            b'p' => escape::index(line)
                .map(|entry| Op::Stack(StackOp::Put(entry)))
                .ok_or_else(invalid),
            b'P' => Ok(Op::Object(ObjectOp::PersistentId)),
            _ => {
                let (module, name) = (self.name(line)?, self.line()?);
                let name = self.name(name)?;
                Ok(Op::Object(if code == b'c' {
                    ObjectOp::Global(module, name)
                } else {
                    ObjectOp::Instance(module, name)
                }))
            }
        }
    }

    fn name(&self, line: &'a [u8]) -> Result<Text<'a>, PickleError> {
        if line.len() > self.name_bytes {
            return Err(over(Limit::NameBytes, self.name_bytes, self.offset));
        }
        self.utf8(line)
    }

    fn unicode(&mut self, length: u64) -> Result<Op<'a>, PickleError> {
        let bytes = self.string(length)?;
        self.utf8(bytes).map(|text| Op::Push(Node::Text(text)))
    }

    fn data(&mut self, length: u64) -> Result<Op<'a>, PickleError> {
        self.string(length)
            .map(|bytes| Op::Push(Node::Bytes(Data::File(bytes))))
    }

    /// A two's complement little-endian integer of `length` bytes. One of more than 64 bits, as the states of random
    /// generators have them, is no number of a checkpoint: it is left out as objects are.
    fn long(&mut self, length: u64) -> Result<Op<'a>, PickleError> {
        let bytes = self.take(length)?;
        if (WORD + 1..=LONGEST_INTEGER).contains(&bytes.len()) {
            return Ok(Op::Push(Node::Object(Arc::new(ClassName {
                module: Text::File("builtins"),
                name: Text::File("int"),
            }))));
        }
        let negative = bytes.last().is_some_and(|&top| top >= 0x80);
        let mut word = [if negative { 0xff } else { 0 }; 8];
        let target = word
            .get_mut(..bytes.len())
            .ok_or(PickleError::IntegerTooLarge {
                offset: self.offset,
            })?;
        target.copy_from_slice(bytes);
        Ok(int(i64::from_le_bytes(word)))
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<Text<'a>, PickleError> {
        std::str::from_utf8(bytes)
            .map(Text::File)
            .map_err(|_| PickleError::InvalidText {
                offset: self.offset,
            })
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        if length > self.string_bytes as u64 {
            // A length past the input's end is damage whatever the cap.
            self.reach(length)?;
            return Err(over(Limit::StringBytes, self.string_bytes, self.offset));
        }
        self.take(length)
    }

    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let length = end.ok_or(PickleError::Truncated {
            offset: self.offset,
            needed: rest.len() as u64 + 1,
            left: rest.len(),
        })?;
        if length > self.string_bytes {
            return Err(over(Limit::StringBytes, self.string_bytes, self.offset));
        }
        let line = self.take(length as u64)?;
        self.take(1)?;
        Ok(line)
    }

    fn length_of_one(&mut self) -> Result<u64, PickleError> {
        self.byte().map(u64::from)
    }

    fn length_of_four(&mut self) -> Result<u64, PickleError> {
        self.array()
            .map(|bytes| u64::from(u32::from_le_bytes(bytes)))
    }

    fn length_of_eight(&mut self) -> Result<u64, PickleError> {
        self.array().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    /// The end of the next `length` bytes, which must be there.
    fn reach(&self, length: u64) -> Result<usize, PickleError> {
        let left = self.remaining();
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .map(|length| self.at + length)
            .ok_or(PickleError::Truncated {
                offset: self.offset,
                needed: length,
                left,
            })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let end = self.reach(length)?;
        if self.frame_end.is_some_and(|frame| end > frame) {
            return Err(PickleError::Frame {
                offset: self.offset,
            });
        }
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(taken)
    }
}

fn over(limit: Limit, allowed: usize, offset: usize) -> PickleError {
    PickleError::Limit {
        offset,
        limit,
        allowed: allowed as u64,
    }
}

fn int<'a>(value: impl Into<i64>) -> Op<'a> {
    Op::Push(Node::Int(value.into()))
}

fn extension<'a>(code: impl Into<u32>) -> Op<'a> {
    Op::Object(ObjectOp::Extension(code.into()))
}
