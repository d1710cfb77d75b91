//! Types of array elements, in one table, and how elements lie in an array's bytes.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an `F32`.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// One byte, zero or not.
    Bool,
}

/// The table of element types: NumPy's code without byte order, name, bytes of one element.
const DTYPES: [(DType, &str, &str, usize); 13] = [
    (DType::F16, "f2", "float16", 2),
    (DType::BF16, "bfloat16", "bfloat16", 2),
    (DType::F32, "f4", "float32", 4),
    (DType::F64, "f8", "float64", 8),
    (DType::I8, "i1", "int8", 1),
    (DType::I16, "i2", "int16", 2),
    (DType::I32, "i4", "int32", 4),
    (DType::I64, "i8", "int64", 8),
    (DType::U8, "u1", "uint8", 1),
    (DType::U16, "u2", "uint16", 2),
    (DType::U32, "u4", "uint32", 4),
    (DType::U64, "u8", "uint64", 8),
    (DType::Bool, "b1", "bool", 1),
];

impl DType {
    /// The type with this NumPy code, which has no byte order in front.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// The type of this name, as NumPy gives it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, usize) {
        // The table lists the variants in their order; a test holds it to that.
        &DTYPES[self as usize]
    }
}

impl fmt::Display for DType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.row().2)
    }
}

/// Which byte of an element comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant.
    Little,
    /// The most significant.
    Big,
}

/// Which axis varies fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisOrder {
    /// The last.
    C,
    /// The first.
    Fortran,
}

/// How an array's elements lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Type of an element.
    pub dtype: DType,
    /// Order of its bytes.
    pub byte_order: ByteOrder,
    /// Order of the axes.
    pub axis_order: AxisOrder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_types_lists_them_in_their_order() {
        for (index, row) in DTYPES.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.2);
        }
    }
}
