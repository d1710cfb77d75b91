//! Rows, as columns.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder};
use arrow_array::types::{Float16Type, Float32Type};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Int32Array, ListArray, PrimitiveArray, RecordBatch,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use half::f16;

use crate::work::{About, Float, Numbers, Region, Value};

/// Numbers of a box, and of a shape.
const BOX: i32 = 4;
const SHAPE: i32 = 3;

/// Which columns rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// What is computed.
    pub vectors: Vectors,
    /// The type of its numbers.
    pub float: Float,
    /// Whether vectors are here, and not in an array beside.
    pub here: bool,
    /// Whether texts come with images.
    pub json: bool,
}

/// What is computed of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vectors {
    /// One of this length.
    Embedding(usize),
    /// One of this length for each region.
    Regions {
        /// Its length.
        length: usize,
        /// Whether there are run lengths.
        rle: bool,
    },
    /// A map of this number of channels.
    Features(usize),
}

impl Columns {
    /// The shape of a row of an array without rows.
    pub(super) fn no_row(self) -> Vec<usize> {
        match self.vectors {
            Vectors::Embedding(length) | Vectors::Regions { length, .. } => vec![length],
            Vectors::Features(channels) => vec![channels, 0, 0],
        }
    }

    fn item(self) -> FieldRef {
        let kind = match self.float {
            Float::Single => DataType::Float32,
            Float::Half => DataType::Float16,
        };
        Arc::new(Field::new("element", kind, false))
    }

    /// The schema of a part.
    pub(super) fn schema(self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let maybe = |name: &str| Field::new(name, DataType::Utf8, true);
        let number = |name: &str| Field::new(name, DataType::Int32, false);
        let long = |name: &str| Field::new(name, DataType::Int64, false);
        let list = |name: &str, item, length| {
            Field::new(name, DataType::FixedSizeList(item, length), false)
        };
        let mut fields = vec![
            text("id"),
            text("path"),
            number("width"),
            number("height"),
            maybe("label"),
        ];
        if self.json {
            fields.push(maybe("json"));
        }
        match self.vectors {
            Vectors::Embedding(length) => {
                fields.extend(
                    self.here
                        .then(|| list("embedding", self.item(), side(length))),
                );
            }
            Vectors::Regions { length, rle } => {
                fields.push(long("region"));
                fields.push(list("box", whole(), BOX));
                fields.push(long("area"));
                fields.push(number("cells"));
                fields.push(maybe("category"));
                fields.extend(rle.then(|| maybe("rle")));
                fields.extend(
                    self.here
                        .then(|| list("embedding", self.item(), side(length))),
                );
            }
            Vectors::Features(_) => {
                fields.push(list("shape", whole(), SHAPE));
                let features = DataType::List(self.item());
                fields.extend(self.here.then(|| Field::new("features", features, false)));
            }
        }
        Arc::new(Schema::new(Fields::from(fields)))
    }
}

fn whole() -> FieldRef {
    Arc::new(Field::new("element", DataType::Int32, false))
}

/// A length that networks have, as Arrow counts.
fn side(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Rows that are not written yet.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Columns,
    id: StringBuilder,
    path: StringBuilder,
    width: Int32Builder,
    height: Int32Builder,
    label: StringBuilder,
    json: StringBuilder,
    region: Int64Builder,
    bounds: Vec<i32>,
    area: Int64Builder,
    cells: Int32Builder,
    category: StringBuilder,
    rle: StringBuilder,
    shape: Vec<i32>,
    single: Vec<f32>,
    half: Vec<f16>,
    /// Where the numbers of each row end.
    ends: Vec<usize>,
}

impl Rows {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            id: StringBuilder::new(),
            path: StringBuilder::new(),
            width: Int32Builder::new(),
            height: Int32Builder::new(),
            label: StringBuilder::new(),
            json: StringBuilder::new(),
            region: Int64Builder::new(),
            bounds: Vec::new(),
            area: Int64Builder::new(),
            cells: Int32Builder::new(),
            category: StringBuilder::new(),
            rle: StringBuilder::new(),
            shape: Vec::new(),
            single: Vec::new(),
            half: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds what was computed; of its numbers it takes those that belong here.
    pub(super) fn push(&mut self, about: &About, value: Value) {
        self.id.append_value(&about.id);
        self.path.append_value(&about.path);
        self.width.append_value(about.width.cast_signed());
        self.height.append_value(about.height.cast_signed());
        self.label.append_option(about.label.as_ref());
        self.json.append_option(about.json.as_ref());
        let numbers = match value {
            Value::Embedding(numbers) => numbers,
            Value::Region { region, embedding } => {
                self.push_region(&region);
                embedding
            }
            Value::Features { shape, values } => {
                self.shape.extend(shape.map(side));
                values
            }
        };
        if self.columns.here {
            match numbers {
                Numbers::Single(numbers) => self.single.extend(numbers),
                Numbers::Half(numbers) => self.half.extend(numbers),
            }
        }
        self.ends.push(self.single.len() + self.half.len());
    }

    fn push_region(&mut self, region: &Region) {
        self.region.append_value(region.id.cast_signed());
        self.bounds
            .extend(region.bounds.to_array().map(u32::cast_signed));
        self.area.append_value(region.area.cast_signed());
        self.cells.append_value(side(region.cells));
        self.category.append_option(region.category.as_ref());
        self.rle.append_option(region.rle.as_ref());
    }

    /// All rows so far, of which it keeps none.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns;
        let rows = self.ends.len();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.path.finish()),
            Arc::new(self.width.finish()),
            Arc::new(self.height.finish()),
            Arc::new(self.label.finish()),
        ];
        let json = self.json.finish();
        if columns.json {
            arrays.push(Arc::new(json));
        }
        let numbers = self.numbers();
        let ends = std::mem::take(&mut self.ends);
        match columns.vectors {
            Vectors::Embedding(length) => {
                let vectors = columns.here.then(|| self.vectors(length, numbers));
                arrays.extend(vectors.transpose()?);
            }
            Vectors::Regions { length, rle } => {
                arrays.push(Arc::new(self.region.finish()));
                let bounds = Int32Array::from(std::mem::take(&mut self.bounds));
                arrays.push(fixed(whole(), BOX, Arc::new(bounds))?);
                arrays.push(Arc::new(self.area.finish()));
                arrays.push(Arc::new(self.cells.finish()));
                arrays.push(Arc::new(self.category.finish()));
                let runs = self.rle.finish();
                if rle {
                    arrays.push(Arc::new(runs));
                }
                let vectors = columns.here.then(|| self.vectors(length, numbers));
                arrays.extend(vectors.transpose()?);
            }
            Vectors::Features(_) => {
                let shape = Int32Array::from(std::mem::take(&mut self.shape));
                arrays.push(fixed(whole(), SHAPE, Arc::new(shape))?);
                if columns.here {
                    let starts = std::iter::once(0).chain(ends);
                    let lengths: Vec<usize> = starts.collect();
                    let lengths = lengths.windows(2).map(|pair| pair[1] - pair[0]);
                    let lengths = OffsetBuffer::from_lengths(lengths);
                    let list = ListArray::try_new(columns.item(), lengths, numbers, None)?;
                    arrays.push(Arc::new(list));
                }
            }
        }
        debug_assert!(
            arrays.iter().all(|array| array.len() == rows),
            "columns are of one length"
        );
        RecordBatch::try_new(columns.schema(), arrays)
    }

    fn numbers(&mut self) -> ArrayRef {
        match self.columns.float {
            Float::Single => {
                let numbers = std::mem::take(&mut self.single);
                Arc::new(PrimitiveArray::<Float32Type>::from_iter_values(numbers))
            }
            Float::Half => {
                let numbers = std::mem::take(&mut self.half);
                Arc::new(PrimitiveArray::<Float16Type>::from_iter_values(numbers))
            }
        }
    }

    fn vectors(&self, length: usize, numbers: ArrayRef) -> Result<ArrayRef, ArrowError> {
        fixed(self.columns.item(), side(length), numbers)
    }
}

fn fixed(item: FieldRef, length: i32, values: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let list = FixedSizeListArray::try_new(item, length, values, None)?;
    Ok(Arc::new(list))
}
