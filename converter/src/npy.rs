//! The header of NumPy's `.npy` files, versions 1 to 3, as far as checkpoints need it: a checkpoint is an array
//! of one Python object, whose pickle follows the header. Numeric arrays are refused with what they are; the
//! header's Python literal is read by a small parser of its own, never evaluated.

use crate::pickle::{Array, AxisOrder, ByteOrder, DType, Data, Encoding};

/// The first bytes of every `.npy` file.
pub const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy's own cap on what it reads as a literal.
const LONGEST_HEADER: usize = 10_000;

/// Why a `.npy` file holds no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NpyError {
    /// The file does not start like a `.npy` file.
    #[error("the file does not start with NumPy's magic bytes")]
    Magic,
    /// A version of the format that does not exist yet.
    #[error("the file says that it is .npy version {major}.{minor}; 1.0, 2.0 and 3.0 are known")]
    Version {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The file ends inside the header.
    #[error("the file ends inside its .npy header: it was not saved or fetched whole")]
    Truncated,
    /// A header longer than NumPy writes.
    #[error("the .npy header has {length} bytes; {LONGEST_HEADER} is the most allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The header is not the literal that NumPy writes.
    #[error("the .npy header cannot be read at byte {offset}: the file is damaged")]
    Malformed {
        /// Where it goes wrong, from the start of the file.
        offset: usize,
    },
    /// An array of numbers, or of structures.
    #[error(
        "the file is a plain array (type {descr}, shape {shape:?}), not a checkpoint: \
         a checkpoint is a saved mapping of parameter names to arrays"
    )]
    PlainArray {
        /// NumPy's code of its element type, or `structured`.
        descr: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An array of something else than numbers.
    #[error("it is an array of type {descr}: weights are numbers")]
    Elements {
        /// NumPy's code of its element type, or `structured`.
        descr: String,
    },
    /// Several objects.
    #[error(
        "the file is an array of Python objects of shape {shape:?}: a checkpoint is one object, with shape []"
    )]
    SeveralObjects {
        /// Its shape.
        shape: Vec<usize>,
    },
}

/// Where the pickle of a checkpoint's `.npy` file starts.
pub fn pickle_start(bytes: &[u8]) -> Result<usize, NpyError> {
    match header(bytes)? {
        (Header { descr, shape, .. }, _) if descr != "|O" => {
            Err(NpyError::PlainArray { descr, shape })
        }
        (Header { shape, .. }, _) if !shape.is_empty() => Err(NpyError::SeveralObjects { shape }),
        (Header { .. }, end) => Ok(end),
    }
}

/// The array in a `.npy` file of numbers, whose bytes are `data`.
pub(crate) fn array<'a>(data: &Data<'a>) -> Result<Array<'a>, NpyError> {
    let (header, end) = header(data)?;
    let encoding = encoding(&header.descr, header.fortran_order);
    let encoding = encoding.ok_or(NpyError::Elements {
        descr: header.descr,
    })?;
    let rest = data.len() - end;
    Array::new(header.shape, encoding, data.slice(end, rest)).map_err(|_| NpyError::Truncated)
}

/// The header, and where it ends.
fn header(bytes: &[u8]) -> Result<(Header, usize), NpyError> {
    let (start, end) = header_range(bytes)?;
    let text = bytes.get(start..end).ok_or(NpyError::Truncated)?;
    let mut literal = Literal { text, at: 0 };
    let header = literal.header().ok_or(NpyError::Malformed {
        offset: start + literal.at,
    })?;
    Ok((header, end))
}

/// How elements of a type with this code lie.
fn encoding(descr: &str, fortran_order: bool) -> Option<Encoding> {
    let code = descr.trim_start_matches(['<', '>', '|']);
    let big = descr.starts_with('>');
    Some(Encoding {
        dtype: DType::from_code(code)?,
        byte_order: if big {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        },
        axis_order: if fortran_order {
            AxisOrder::Fortran
        } else {
            AxisOrder::C
        },
    })
}

/// Everything before the pickle of a `.npy` file of one object, as NumPy writes it.
pub(crate) fn object_header() -> Vec<u8> {
    const LITERAL: &str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";
    /// NumPy pads headers with spaces so that data starts at a multiple of it.
    const ALIGNMENT: usize = 64;
    let before = MAGIC.len() + 4;
    let total = (before + LITERAL.len() + 1).next_multiple_of(ALIGNMENT);
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    let length = u16::try_from(total - before).expect("the header is short");
    header.extend(length.to_le_bytes());
    header.extend(LITERAL.as_bytes());
    header.resize(total - 1, b' ');
    header.push(b'\n');
    header
}

fn header_range(bytes: &[u8]) -> Result<(usize, usize), NpyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::Magic)?;
    let (start, length) = match rest {
        &[1, 0, a, b, ..] => (MAGIC.len() + 4, usize::from(u16::from_le_bytes([a, b]))),
        &[2 | 3, 0, a, b, c, d, ..] => {
            let length = u32::from_le_bytes([a, b, c, d]);
            (
                MAGIC.len() + 6,
                usize::try_from(length).unwrap_or(usize::MAX),
            )
        }
        [1..=3, 0, ..] | [] | [_] => return Err(NpyError::Truncated),
        &[major, minor, ..] => return Err(NpyError::Version { major, minor }),
    };
    if length > LONGEST_HEADER {
        return Err(NpyError::TooLong { length });
    }
    Ok((start, start + length))
}

struct Header {
    descr: String,
    shape: Vec<usize>,
    fortran_order: bool,
}

/// A reader of the one kind of Python literal that NumPy writes as header.
struct Literal<'a> {
    text: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    /// `{'descr': '|O', 'fortran_order': False, 'shape': (), }`: each key once, in any order.
    fn header(&mut self) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.take(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let first = match key.as_str() {
                "descr" => descr.replace(self.descr()?).is_none(),
                "fortran_order" => fortran_order.replace(self.truth()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => false,
            };
            if !first || !(self.take(b',') || self.peek() == Some(b'}')) {
                return None;
            }
        }
        self.peek().is_none().then_some(())?;
        Some(Header {
            descr: descr?,
            shape: shape?,
            fortran_order: fortran_order?,
        })
    }

    /// A type code; a structured type is a list of fields, which is passed over.
    fn descr(&mut self) -> Option<String> {
        if self.peek() != Some(b'[') {
            return self.string();
        }
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'[' | b'(' => open += 1,
                b']' | b')' => open = open.checked_sub(1)?,
                b'\'' | b'"' => {
                    self.string()?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some("structured".to_owned());
            }
        }
    }

    fn truth(&mut self) -> Option<bool> {
        self.peek()?;
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text.get(self.at..)?.starts_with(word) {
                self.at += word.len();
                return Some(value);
            }
        }
        None
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            shape.push(self.length()?);
            if !self.take(b',') && self.peek() != Some(b')') {
                return None;
            }
        }
        Some(shape)
    }

    /// An integer from 0 on, with the `L` that Python 2 appends.
    fn length(&mut self) -> Option<usize> {
        self.peek()?;
        let rest = self.text.get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(rest.get(..digits)?)
            .ok()?
            .parse()
            .ok()?;
        self.at += digits;
        self.take(b'L');
        Some(value)
    }

    /// A quoted string without escapes: NumPy's codes and keys have none.
    fn string(&mut self) -> Option<String> {
        let quote = self.peek().filter(|byte| matches!(byte, b'\'' | b'"'))?;
        let rest = self.text.get(self.at + 1..)?;
        let length = rest.iter().position(|&byte| byte == quote)?;
        let text = std::str::from_utf8(rest.get(..length)?).ok()?;
        let plain = text
            .chars()
            .all(|character| !character.is_control() && character != '\\');
        self.at += length + 2;
        plain.then(|| text.to_owned())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(version: u8, header: &str) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend([version, 0]);
        match version {
            1 => file.extend(u16::try_from(header.len()).unwrap().to_le_bytes()),
            _ => file.extend(u32::try_from(header.len()).unwrap().to_le_bytes()),
        }
        file.extend(header.as_bytes());
        file
    }

    #[test]
    fn an_object_array_of_any_version_has_its_pickle_after_the_header() {
        let header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }     \n";
        for version in 1..=3 {
            let file = npy(version, header);
            assert_eq!(pickle_start(&file), Ok(file.len()));
        }
        let reordered = npy(1, r#"{"shape":(),"descr":"|O","fortran_order":True}"#);
        assert_eq!(pickle_start(&reordered), Ok(reordered.len()));
    }

    #[test]
    fn the_header_that_is_written_is_read() {
        let header = object_header();
        assert_eq!(pickle_start(&header), Ok(header.len()));
        assert_eq!(header.len() % 64, 0);
    }

    #[test]
    fn arrays_that_are_no_checkpoint_are_named() {
        let file = npy(
            1,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4L), }\n",
        );
        let plain = NpyError::PlainArray {
            descr: "<f4".to_owned(),
            shape: vec![3, 4],
        };
        assert_eq!(pickle_start(&file), Err(plain));
        let file = npy(
            1,
            "{'descr': [('a', '<f4', (2,)), ('[b', 'i4')], 'fortran_order': False, 'shape': (2,), }\n",
        );
        let structured = NpyError::PlainArray {
            descr: "structured".to_owned(),
            shape: vec![2],
        };
        assert_eq!(pickle_start(&file), Err(structured));
        let file = npy(
            2,
            "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n",
        );
        assert_eq!(
            pickle_start(&file),
            Err(NpyError::SeveralObjects { shape: vec![2] })
        );
    }

    #[test]
    fn damaged_headers_are_refused() {
        for header in [
            "",
            "{",
            "{}",
            "{'descr': '|O', 'shape': ()}",
            "{'descr': '|O', 'fortran_order': 0, 'shape': ()}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (), 'extra': 1}",
            "{'descr': '|O', 'descr': '|O', 'fortran_order': False, 'shape': ()}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '|O' 'fortran_order': False, 'shape': ()}",
            "{'descr': '|O', 'fortran_order': False, 'shape': ()} + exit()",
            "{'descr': [[[[, 'fortran_order': False, 'shape': ()}",
        ] {
            let file = npy(1, header);
            assert!(
                matches!(pickle_start(&file), Err(NpyError::Malformed { .. })),
                "{header}"
            );
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated() {
        let file = npy(
            1,
            "{'descr': '|O', 'fortran_order': False, 'shape': (), }\n",
        );
        for length in MAGIC.len()..file.len() {
            assert_eq!(
                pickle_start(&file[..length]),
                Err(NpyError::Truncated),
                "{length}"
            );
        }
        assert_eq!(pickle_start(&file[..3]), Err(NpyError::Magic));
        assert_eq!(
            pickle_start(b"\x93NUMPY\x04\x00"),
            Err(NpyError::Version { major: 4, minor: 0 })
        );
        let long = npy(2, &" ".repeat(LONGEST_HEADER + 1));
        assert_eq!(
            pickle_start(&long),
            Err(NpyError::TooLong {
                length: LONGEST_HEADER + 1
            })
        );
    }
}
