//! Arrays of a checkpoint, as NumPy stores them: element type, byte order, axis order, shape, bytes. Their
//! elements are read out in C order. Refuses bytes that do not fit the shape, and reads integers as floats or
//! floats as integers never.

use super::dtype::{AxisOrder, ByteOrder, DType, Encoding};
use super::shared::Data;

/// What an array cannot give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The bytes do not fit the shape.
    #[error("an array of shape {shape:?} and type {dtype} cannot have {found} bytes")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// The type of an element.
        dtype: DType,
        /// The number of bytes.
        found: usize,
    },
    /// Floats were asked of an array of something else.
    #[error("an array of {dtype} holds no floats")]
    NotFloat {
        /// Its type.
        dtype: DType,
    },
    /// Integers were asked of an array of something else.
    #[error("an array of {dtype} holds no integers")]
    NotInteger {
        /// Its type.
        dtype: DType,
    },
    /// An unsigned integer beyond the signed 64-bit range.
    #[error("the array holds {value}, which no signed 64-bit integer can")]
    IntegerTooLarge {
        /// The integer.
        value: u64,
    },
    /// The first axis was asked of an array without one.
    #[error("an array of shape {shape:?} has no entry {index} along its first axis")]
    NoSuchEntry {
        /// The shape.
        shape: Vec<usize>,
        /// The entry.
        index: usize,
    },
}

/// An array that borrows its bytes from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    shape: Vec<usize>,
    encoding: Encoding,
    data: Data<'a>,
}

impl<'a> Array<'a> {
    /// An array of `shape` whose elements are `data`, read as `encoding` says.
    pub fn new(shape: Vec<usize>, encoding: Encoding, data: Data<'a>) -> Result<Self, ArrayError> {
        let needed = shape
            .iter()
            .try_fold(encoding.dtype.size(), |bytes, &axis| {
                bytes.checked_mul(axis)
            });
        if needed != Some(data.len()) {
            return Err(ArrayError::Length {
                shape,
                dtype: encoding.dtype,
                found: data.len(),
            });
        }
        Ok(Self {
            shape,
            encoding,
            data,
        })
    }

    /// Length of each axis; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.encoding.dtype
    }

    /// How the elements lie in [`Array::bytes`].
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The elements as the file stores them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len() / self.encoding.dtype.size()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements in C order as single precision. Half precision and bfloat16 are exact; double precision is
    /// rounded to the nearest.
    pub fn to_f32(&self) -> Result<Vec<f32>, ArrayError> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding doubles to the nearest float is the documented loss"
        )]
        let values = match self.encoding.dtype {
            DType::F16 => self.read(|word| half::f16::from_le_bytes(word).to_f32()),
            DType::BF16 => self.read(|word| half::bf16::from_le_bytes(word).to_f32()),
            DType::F32 => self.read(f32::from_le_bytes),
            DType::F64 => self.read(|word| f64::from_le_bytes(word) as f32),
            dtype @ (DType::I8
            | DType::I16
            | DType::I32
            | DType::I64
            | DType::U8
            | DType::U16
            | DType::U32
            | DType::U64
            | DType::Bool) => return Err(ArrayError::NotFloat { dtype }),
        };
        Ok(values)
    }

    /// The elements of an integer array in C order; truth values are 0 and 1.
    pub fn to_i64(&self) -> Result<Vec<i64>, ArrayError> {
        let values = match self.encoding.dtype {
            DType::I8 => self.read(|word| i64::from(i8::from_le_bytes(word))),
            DType::I16 => self.read(|word| i64::from(i16::from_le_bytes(word))),
            DType::I32 => self.read(|word| i64::from(i32::from_le_bytes(word))),
            DType::I64 => self.read(i64::from_le_bytes),
            DType::U8 => self.read(|word| i64::from(u8::from_le_bytes(word))),
            DType::U16 => self.read(|word| i64::from(u16::from_le_bytes(word))),
            DType::U32 => self.read(|word| i64::from(u32::from_le_bytes(word))),
            DType::U64 => {
                return self
                    .read(u64::from_le_bytes)
                    .into_iter()
                    .map(signed)
                    .collect();
            }
            DType::Bool => self.read(|word: [u8; 1]| i64::from(word != [0])),
            dtype @ (DType::F16 | DType::BF16 | DType::F32 | DType::F64) => {
                return Err(ArrayError::NotInteger { dtype });
            }
        };
        Ok(values)
    }

    /// Entry `index` along the first axis. Borrows from the file where that entry lies in one piece.
    pub fn entry(&self, index: usize) -> Result<Self, ArrayError> {
        let missing = || ArrayError::NoSuchEntry {
            shape: self.shape.clone(),
            index,
        };
        let (&count, shape) = self.shape.split_first().ok_or_else(missing)?;
        if index >= count {
            return Err(missing());
        }
        let size = self.data.len() / count;
        let data = match self.encoding.axis_order {
            AxisOrder::C => self.data.slice(index * size, size),
            AxisOrder::Fortran => {
                let width = self.encoding.dtype.size();
                let elements = self.data.chunks_exact(width).skip(index).step_by(count);
                Data::Decoded(elements.flatten().copied().collect())
            }
        };
        Self::new(shape.to_vec(), self.encoding, data)
    }

    /// Decodes every element; `value` takes its bytes with the least significant first.
    fn read<const N: usize, T: Copy>(&self, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (words, _) = self.data.as_chunks::<N>();
        let values = match self.encoding.byte_order {
            ByteOrder::Little => words.iter().map(|&word| value(word)).collect(),
            ByteOrder::Big => words
                .iter()
                .map(|&(mut word)| {
                    word.reverse();
                    value(word)
                })
                .collect(),
        };
        match self.encoding.axis_order {
            AxisOrder::C => values,
            AxisOrder::Fortran => transpose(&values, &self.shape),
        }
    }
}

fn signed(value: u64) -> Result<i64, ArrayError> {
    i64::try_from(value).map_err(|_| ArrayError::IntegerTooLarge { value })
}

/// Brings elements whose first axis varies fastest into C order.
fn transpose<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let strides: Vec<usize> = shape
        .iter()
        .scan(1_usize, |stride, &axis| {
            let here = *stride;
            *stride *= axis.max(1);
            Some(here)
        })
        .collect();
    let mut position = vec![0_usize; shape.len()];
    let mut source = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[source]);
        // An odometer whose last axis turns fastest.
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            source += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            source -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array<'a>(
        shape: &[usize],
        dtype: DType,
        byte_order: ByteOrder,
        axis_order: AxisOrder,
        data: &'a [u8],
    ) -> Array<'a> {
        Array::new(
            shape.to_vec(),
            Encoding {
                dtype,
                byte_order,
                axis_order,
            },
            Data::File(data),
        )
        .unwrap()
    }

    #[test]
    fn fortran_order_and_big_endian_read_as_c_order() {
        let c: Vec<f32> = (0_u8..24).map(f32::from).collect();
        let stored = (0..4_usize)
            .flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| (i * 3 + j) * 4 + k)))
            .flat_map(|index| c[index].to_be_bytes())
            .collect::<Vec<u8>>();
        let read = array(
            &[2, 3, 4],
            DType::F32,
            ByteOrder::Big,
            AxisOrder::Fortran,
            &stored,
        );
        assert_eq!(read.to_f32().unwrap(), c);
        assert_eq!(read.entry(1).unwrap().to_f32().unwrap(), c[12..]);
        assert_eq!(read.entry(1).unwrap().shape(), [3, 4]);
        assert!(read.entry(2).is_err());
    }

    #[test]
    fn half_precision_kinds_are_exact_and_doubles_are_rounded() {
        let half = [half::f16::from_f32(-1.5), half::f16::MAX]
            .map(half::f16::to_le_bytes)
            .concat();
        let read = array(&[2], DType::F16, ByteOrder::Little, AxisOrder::C, &half);
        assert_eq!(read.to_f32().unwrap(), [-1.5, 65504.0]);
        let brain = half::bf16::from_f32(3.140_625).to_le_bytes();
        let read = array(&[], DType::BF16, ByteOrder::Little, AxisOrder::C, &brain);
        assert_eq!(read.to_f32().unwrap(), [3.140_625]);
        let double = 0.1_f64.to_le_bytes();
        let read = array(&[1], DType::F64, ByteOrder::Little, AxisOrder::C, &double);
        assert_eq!(read.to_f32().unwrap(), [0.1_f32]);
    }

    #[test]
    fn integers_are_not_floats_and_floats_are_not_integers() {
        let bytes = 300_i32.to_le_bytes();
        let read = array(&[], DType::I32, ByteOrder::Little, AxisOrder::C, &bytes);
        assert_eq!(read.to_i64().unwrap(), [300]);
        assert_eq!(
            read.to_f32(),
            Err(ArrayError::NotFloat { dtype: DType::I32 })
        );
        let read = array(&[], DType::F32, ByteOrder::Little, AxisOrder::C, &bytes);
        assert_eq!(
            read.to_i64(),
            Err(ArrayError::NotInteger { dtype: DType::F32 })
        );
        let most = u64::MAX.to_le_bytes();
        let read = array(&[], DType::U64, ByteOrder::Little, AxisOrder::C, &most);
        assert_eq!(
            read.to_i64(),
            Err(ArrayError::IntegerTooLarge { value: u64::MAX })
        );
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_refused() {
        let encoding = Encoding {
            dtype: DType::F32,
            byte_order: ByteOrder::Little,
            axis_order: AxisOrder::C,
        };
        for shape in [
            vec![2],
            vec![usize::MAX, 4],
            vec![usize::MAX / 2, usize::MAX / 2],
        ] {
            assert!(Array::new(shape, encoding, Data::File(&[0; 4])).is_err());
        }
        let empty = Array::new(vec![0, 3], encoding, Data::File(&[])).unwrap();
        assert_eq!(empty.to_f32().unwrap(), [0.0; 0]);
        assert!(empty.entry(0).is_err());
    }
}
