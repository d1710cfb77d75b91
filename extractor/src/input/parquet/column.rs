//! Columns of Parquet files, by the types that they may have.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, LargeBinaryArray, LargeStringArray, StringArray};
use arrow_schema::DataType;
use bytes::Bytes;

use crate::input::Image;
use crate::place::Place;

/// Fields of the structure that Hugging Face's data sets keep an image in.
const BYTES: &str = "bytes";
const PATH: &str = "path";

/// A column of images.
pub(super) enum ImageColumn<'a> {
    Bytes(BytesColumn<'a>),
    Paths(TextColumn<'a>),
    Both {
        bytes: Option<BytesColumn<'a>>,
        paths: Option<TextColumn<'a>>,
    },
}

/// A column of bytes.
pub(super) enum BytesColumn<'a> {
    Short(&'a BinaryArray),
    Long(&'a LargeBinaryArray),
}

/// A column of texts, or of integers.
pub(super) enum TextColumn<'a> {
    Short(&'a StringArray),
    Long(&'a LargeStringArray),
    Number(&'a ArrayRef),
}

impl<'a> ImageColumn<'a> {
    /// Whether columns of a type are images.
    pub(super) fn reads(kind: &DataType) -> bool {
        match kind {
            DataType::Struct(fields) => fields.iter().any(|field| match field.name().as_str() {
                BYTES => BytesColumn::reads(field.data_type()),
                PATH => is_text(field.data_type()),
                _ => false,
            }),
            other => BytesColumn::reads(other) || is_text(other),
        }
    }

    pub(super) fn of(column: &'a ArrayRef) -> Option<Self> {
        if let Some(both) = column.as_struct_opt() {
            return Some(Self::Both {
                bytes: both.column_by_name(BYTES).and_then(BytesColumn::of),
                paths: both.column_by_name(PATH).and_then(TextColumn::of),
            });
        }
        let bytes = BytesColumn::of(column).map(Self::Bytes);
        bytes.or_else(|| TextColumn::of(column).map(Self::Paths))
    }

    /// The image of a row, and its path if it has one; paths are relative to `folder` of `place`. Or why there is none.
    pub(super) fn at(
        &self,
        row: usize,
        place: &Place,
        folder: &str,
    ) -> Result<(Image, Option<String>), String> {
        let (bytes, path) = match self {
            Self::Bytes(bytes) => (bytes.at(row), None),
            Self::Paths(paths) => (None, paths.at(row)),
            Self::Both { bytes, paths } => (
                bytes.as_ref().and_then(|it| it.at(row)),
                paths.as_ref().and_then(|it| it.at(row)),
            ),
        };
        match (bytes, path) {
            (Some(bytes), path) => Ok((Image::Here(bytes), path)),
            (None, Some(path)) => {
                let name = format!("{folder}/{path}")
                    .trim_start_matches('/')
                    .to_owned();
                let place = Arc::clone(place);
                Ok((Image::At { place, name }, Some(path)))
            }
            (None, None) => Err("Its row holds neither bytes nor a path.".to_owned()),
        }
    }
}

impl<'a> BytesColumn<'a> {
    fn reads(kind: &DataType) -> bool {
        matches!(kind, DataType::Binary | DataType::LargeBinary)
    }

    fn of(column: &'a ArrayRef) -> Option<Self> {
        let short = column.as_binary_opt().map(Self::Short);
        short.or_else(|| column.as_binary_opt().map(Self::Long))
    }

    fn at(&self, row: usize) -> Option<Bytes> {
        // Copied, so that an image does not hold the whole batch in memory.
        match self {
            Self::Short(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Long(column) => column.is_valid(row).then(|| column.value(row)),
        }
        .map(Bytes::copy_from_slice)
    }
}

impl<'a> TextColumn<'a> {
    /// Whether columns of a type are read as texts.
    pub(super) fn reads(kind: &DataType) -> bool {
        is_text(kind) || kind.is_integer()
    }

    pub(super) fn of(column: &'a ArrayRef) -> Option<Self> {
        if column.data_type().is_integer() {
            return Some(Self::Number(column));
        }
        let short = column.as_string_opt().map(Self::Short);
        short.or_else(|| column.as_string_opt().map(Self::Long))
    }

    pub(super) fn at(&self, row: usize) -> Option<String> {
        match self {
            Self::Short(column) => column.is_valid(row).then(|| column.value(row).to_owned()),
            Self::Long(column) => column.is_valid(row).then(|| column.value(row).to_owned()),
            Self::Number(column) => column.is_valid(row).then(|| number(column, row)).flatten(),
        }
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8)
}

/// An integer as a text.
fn number(column: &ArrayRef, row: usize) -> Option<String> {
    macro_rules! of {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                return Some(column.value(row).to_string());
            })*
        };
    }
    of!(
        Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type
    );
    None
}
