//! Arrays as NumPy reads them (version 1.0 of its format, `numpy/lib/format.py`): rows of one shape, whose number is known
//! when the last is written.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};

use half::f16;

use crate::work::{Float, Numbers};

/// Bytes before the first row: a multiple of 64, with room for any number of rows.
const HEADER: usize = 192;
/// The first bytes of every file, and the version.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// An array that grows by rows.
#[derive(Debug)]
pub(super) struct Array {
    file: BufWriter<File>,
    float: Float,
    row: Option<Vec<usize>>,
    rows: u64,
}

impl Array {
    /// Begins one in an empty file.
    pub(super) fn begin(file: File, float: Float) -> io::Result<Self> {
        let mut file = BufWriter::new(file);
        file.write_all(&[b' '; HEADER])?;
        Ok(Self {
            file,
            float,
            row: None,
            rows: 0,
        })
    }

    /// The shape of its rows, once there is one.
    pub(super) fn row(&self) -> Option<&[usize]> {
        self.row.as_deref()
    }

    /// Adds a row of this shape, which is that of the rows before it.
    pub(super) fn push(&mut self, shape: &[usize], numbers: &Numbers) -> io::Result<()> {
        self.row.get_or_insert_with(|| shape.to_vec());
        self.rows += 1;
        match numbers {
            Numbers::Single(numbers) => {
                let mut numbers = numbers.iter().copied().map(f32::to_le_bytes);
                numbers.try_for_each(|it| self.file.write_all(&it))
            }
            Numbers::Half(numbers) => {
                let mut numbers = numbers.iter().copied().map(f16::to_le_bytes);
                numbers.try_for_each(|it| self.file.write_all(&it))
            }
        }
    }

    /// Writes its shape; of one without rows, `none` is the shape of a row.
    pub(super) fn finish(mut self, none: &[usize]) -> io::Result<()> {
        let row = self.row.as_deref().unwrap_or(none);
        let sides = row.iter().map(|side| format!(", {side}"));
        let descr = match self.float {
            Float::Single => "<f4",
            Float::Half => "<f2",
        };
        let rows = self.rows;
        let sides: String = sides.collect();
        let shape = if sides.is_empty() {
            ",".to_owned()
        } else {
            sides
        };
        let literal =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}{shape}), }}");
        let length = HEADER - MAGIC.len() - size_of::<u16>();
        let header = format!("{literal:<width$}\n", width = length - 1);
        let length = u16::try_from(length).map_err(io::Error::other)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(MAGIC)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(header.as_bytes())?;
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_shape_and_ends_before_the_first_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut array = Array::begin(File::create(&path).unwrap(), Float::Single).unwrap();
        for row in [1.0_f32, 2.0] {
            array.push(&[1], &Numbers::Single(vec![row])).unwrap();
        }
        array.finish(&[1]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER + 8);
        assert_eq!(HEADER % 64, 0);
        assert_eq!(bytes[HEADER - 1], b'\n');
        assert_eq!(bytes[HEADER..HEADER + 4], 1.0_f32.to_le_bytes());
        let text = String::from_utf8_lossy(&bytes[10..HEADER]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }"));
    }
}
