//! A part that is being written.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::Serialize;

use super::identity::entry;
use super::npy::Array;
use super::rows::Rows;
use super::{Format, OutputError, PartName, Parts};
use crate::input::Unusable;
use crate::place::{Place, PlaceError, Staged};
use crate::work::{About, Numbers, Value};

/// Rows that are turned into columns at once, at most; of large ones, as many as have so many numbers.
const BATCH_ROWS: usize = 512;
const BATCH_NUMBERS: usize = 1 << 20;
/// Numbers of a group of rows, which is what readers read at once.
const GROUP_NUMBERS: usize = 1 << 23;
/// Rows of a group.
const GROUP_ROWS: usize = 1 << 16;

/// A part that is being written.
pub struct PartWriter {
    parts: Parts,
    name: PartName,
    staged: Staged,
    writer: ArrowWriter<BufWriter<File>>,
    rows: Rows,
    /// Numbers of the rows that are not in the writer, and of the group that is open in it.
    numbers: [usize; 2],
    group_rows: usize,
    array: Option<(Staged, Array)>,
    errors: Option<(Staged, BufWriter<File>)>,
    images: u64,
    unusable: u64,
}

/// A part that is written and has no place yet.
#[expect(
    missing_debug_implementations,
    reason = "its files show nothing of themselves"
)]
pub struct Finished {
    files: Vec<Staged>,
}

impl Finished {
    pub(super) fn into_files(self) -> Vec<Staged> {
        self.files
    }
}

/// A line about an image that could not be used.
#[derive(Serialize)]
struct ErrorLine<'a> {
    id: Option<&'a str>,
    path: &'a str,
    reason: &'a str,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PartWriter {
    pub(super) fn begin(parts: &Parts, name: PartName) -> Result<Self, OutputError> {
        let (staged, file) = stage(&parts.place, &name.to_string())?;
        let properties = properties(parts);
        let schema = parts.columns.schema();
        let writer = ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties));
        let array = match parts.format {
            Format::Parquet => None,
            Format::Npy => {
                let (staged, file) = stage(&parts.place, &name.array())?;
                let array = Array::begin(file, parts.columns.float);
                Some((staged, array.map_err(failed(parts, &name.array()))?))
            }
        };
        Ok(Self {
            writer: writer.map_err(|source| not_written(parts, name, source))?,
            parts: parts.clone(),
            name,
            staged,
            rows: Rows::new(parts.columns),
            numbers: [0; 2],
            group_rows: 0,
            array,
            errors: None,
            images: 0,
            unusable: 0,
        })
    }

    /// Writes the rows of an image.
    pub(crate) fn write(&mut self, about: &About, values: Vec<Value>) -> Result<(), OutputError> {
        self.images += 1;
        for value in values {
            let (shape, numbers) = vector(&value);
            let count: usize = shape.iter().product();
            if let Some((_, array)) = &mut self.array {
                if let Some(expected) = array.row().filter(|row| *row != shape) {
                    return Err(OutputError::Uneven {
                        address: self.parts.place.address(&self.name.array()),
                        path: about.path.clone(),
                        found: shape,
                        expected: expected.to_vec(),
                    });
                }
                let pushed = array.push(&shape, numbers);
                pushed.map_err(failed(&self.parts, &self.name.array()))?;
            }
            self.rows.push(about, value);
            self.numbers[0] += count;
            if self.rows.len() >= BATCH_ROWS || self.numbers[0] >= BATCH_NUMBERS {
                self.pass_on()?;
            }
        }
        Ok(())
    }

    /// Lists an image that could not be used.
    pub(crate) fn unusable(&mut self, unusable: &Unusable) -> Result<(), OutputError> {
        self.unusable += 1;
        let (_, file) = if let Some(errors) = &mut self.errors {
            errors
        } else {
            let (staged, file) = stage(&self.parts.place, &self.name.errors())?;
            self.errors.insert((staged, BufWriter::new(file)))
        };
        let line = ErrorLine {
            id: unusable.id.as_deref(),
            path: &unusable.path,
            reason: &unusable.reason,
        };
        let mut line = serde_json::to_vec(&line).map_err(std::io::Error::from);
        let written = line.as_mut().map(|line| line.push(b'\n'));
        let written = written.map_err(|error| std::io::Error::other(error.to_string()));
        let written = written.and_then(|()| file.write_all(&line.unwrap_or_default()));
        written.map_err(failed(&self.parts, &self.name.errors()))
    }

    /// Gives the writer the rows that it does not have, and ends a group that is large enough.
    fn pass_on(&mut self) -> Result<(), OutputError> {
        let (parts, name) = (&self.parts, self.name);
        let wrong = |source| not_written(parts, name, source);
        self.group_rows += self.rows.len();
        let batch = self.rows.take().map_err(|error| wrong(error.into()))?;
        self.writer.write(&batch).map_err(wrong)?;
        self.numbers = [0, self.numbers[0] + self.numbers[1]];
        if self.numbers[1] >= GROUP_NUMBERS || self.group_rows >= GROUP_ROWS {
            self.writer.flush().map_err(wrong)?;
            self.numbers = [0; 2];
            self.group_rows = 0;
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> Result<Finished, OutputError> {
        self.pass_on()?;
        for (name, count) in [("images", self.images), ("errors", self.unusable)] {
            self.writer
                .append_key_value_metadata(entry(name, &count.to_string()));
        }
        let (parts, name) = (&self.parts, self.name);
        let wrong = |source| not_written(parts, name, source);
        let mut file = self.writer.into_inner().map_err(wrong)?;
        file.flush().map_err(failed(parts, &name.to_string()))?;
        let mut files = Vec::new();
        if let Some((staged, mut errors)) = self.errors {
            errors.flush().map_err(failed(parts, &name.errors()))?;
            files.push(staged);
        }
        if let Some((staged, array)) = self.array {
            let finished = array.finish(&parts.columns.no_row());
            finished.map_err(failed(parts, &name.array()))?;
            files.push(staged);
        }
        files.push(self.staged);
        Ok(Finished { files })
    }
}

/// The shape and the numbers of a row's vector.
fn vector(value: &Value) -> (Vec<usize>, &Numbers) {
    let length = |numbers: &Numbers| match numbers {
        Numbers::Single(numbers) => numbers.len(),
        Numbers::Half(numbers) => numbers.len(),
    };
    match value {
        Value::Embedding(embedding) | Value::Region { embedding, .. } => {
            (vec![length(embedding)], embedding)
        }
        Value::Features { shape, values } => (shape.to_vec(), values),
    }
}

/// Vectors are packed as they are: they have no value twice, and their smallest says nothing.
fn properties(parts: &Parts) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(parts.identity.metadata()));
    for column in ["embedding.list.element", "features.list.element"] {
        let column = ColumnPath::from(column.split('.').map(str::to_owned).collect::<Vec<_>>());
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    properties.build()
}

/// A file to write to, which is to have a name.
fn stage(place: &Place, name: &str) -> Result<(Staged, File), OutputError> {
    let mut staged = place.stage(name)?;
    let file = staged.file().try_clone();
    let file = file.map_err(|error| PlaceError::of_stream(&place.address(name), error))?;
    Ok((staged, file))
}

fn failed(parts: &Parts, name: &str) -> impl FnOnce(std::io::Error) -> OutputError + use<> {
    let address = parts.place.address(name);
    move |error| PlaceError::of_stream(&address, error).into()
}

/// What Parquet said; a disk that is full is told as such.
fn not_written(parts: &Parts, name: PartName, source: ParquetError) -> OutputError {
    let address = parts.place.address(&name.to_string());
    match source {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => PlaceError::of_stream(&address, *error).into(),
            Err(error) => OutputError::Parquet {
                address,
                source: ParquetError::External(error),
            },
        },
        source => OutputError::Parquet { address, source },
    }
}
