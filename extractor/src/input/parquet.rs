//! Images in Parquet files: their bytes, their paths, or both in a structure as Hugging Face's data sets have them
//! (`image: {bytes, path}`, `datasets.Image` in `features/image.py`). A file's footer says how many rows it has, so that
//! rows can be divided before any is read.

mod column;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::errors::ParquetError;

use self::column::{ImageColumn, TextColumn};
use super::sample::below;
use super::{Columns, Found, InputError, Item, Unusable};
use crate::place::{Chunks, Entry, Failure, Place, PlaceError};

/// Columns that images are in, where none is named: the first that is there.
const IMAGES: [&str; 2] = ["image", "path"];
/// Rows that are read at a time.
const BATCH: usize = 16;

/// Files with the same columns.
#[derive(Debug)]
pub(super) struct Table {
    files: Vec<Arc<File>>,
    rows: u64,
}

/// A file, its footer read.
#[derive(Debug)]
struct File {
    place: Place,
    folder: String,
    name: String,
    bytes: u64,
    metadata: ArrowReaderMetadata,
    columns: Chosen,
    /// Rows of the files before it, and of those and itself.
    rows: Range<u64>,
}

/// The columns that are read.
#[derive(Clone, Debug)]
struct Chosen {
    image: String,
    id: Option<String>,
    label: Option<String>,
}

impl Table {
    /// Reads the footers of files.
    pub(super) fn open(
        place: &Place,
        folder: &str,
        files: Vec<Entry>,
        columns: &Columns,
    ) -> Result<Self, InputError> {
        let mut opened = Vec::with_capacity(files.len());
        let mut rows = 0;
        for Entry { name, bytes } in files {
            let file = File::open(place, folder, (name, bytes), columns, rows)?;
            rows = file.rows.end;
            opened.push(Arc::new(file));
        }
        Ok(Self {
            files: opened,
            rows,
        })
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The images of some of the rows.
    pub(super) fn items(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<Item, PlaceError>> + Send + use<> {
        let files = self.files.iter().filter_map(move |file| {
            let rows = range.start.max(file.rows.start)..range.end.min(file.rows.end);
            (rows.start < rows.end).then(|| (Arc::clone(file), rows))
        });
        let files: Vec<_> = files.collect();
        files.into_iter().flat_map(|(file, rows)| file.items(&rows))
    }
}

impl File {
    fn open(
        place: &Place,
        folder: &str,
        (name, bytes): (String, u64),
        columns: &Columns,
        before: u64,
    ) -> Result<Self, InputError> {
        let address = place.address(&name);
        let failure = Failure::default();
        let chunks = Chunks::new(place, &name, bytes, &failure);
        // Texts and bytes are read as such, whatever the writer kept them in.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&chunks, options);
        let metadata = metadata.map_err(|error| match failure.take() {
            Some(failure) => InputError::Place(failure),
            None => InputError::Content {
                address: address.clone(),
                detail: format!("it is no whole Parquet file ({error}): fetch or write it again"),
            },
        })?;
        let columns = Chosen::of(&metadata, columns, &address)?;
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self {
            place: Arc::clone(place),
            folder: folder.to_owned(),
            name,
            bytes,
            metadata,
            columns,
            rows: before..before + rows,
        })
    }

    /// The images of some of its rows, which are counted over all files.
    fn items(
        self: Arc<Self>,
        rows: &Range<u64>,
    ) -> impl Iterator<Item = Result<Item, PlaceError>> + Send + use<> {
        let first = rows.start - self.rows.start;
        let count = rows.end - rows.start;
        let failure = Failure::default();
        let mut reader = Some(self.reader(first, count, &failure));
        let mut row = first;
        let batches = std::iter::from_fn(move || {
            let batch = match &mut reader {
                Some(Ok(batches)) => batches.next()?.map_err(ParquetError::from),
                Some(Err(_)) | None => Err(reader.take()?.err()?),
            };
            match batch {
                Ok(batch) => {
                    let items = self.batch(row, &batch);
                    row += batch.num_rows() as u64;
                    Some(items.into_iter().map(Ok).collect())
                }
                Err(error) => {
                    reader = None;
                    let damaged = || Ok(self.damaged(row, &error));
                    Some(vec![failure.take().map_or_else(damaged, Err)])
                }
            }
        });
        batches.flat_map(|items: Vec<_>| items)
    }

    fn reader(
        &self,
        first: u64,
        count: u64,
        failure: &Failure,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let chunks = Chunks::new(&self.place, &self.name, self.bytes, failure);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone());
        let wanted = self.columns.all();
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        let rows = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let selection = RowSelection::from(vec![
            RowSelector::skip(rows(first)),
            RowSelector::select(rows(count)),
        ]);
        builder
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(BATCH)
            .build()
    }

    /// The images of a batch whose first row is `first` of the file.
    fn batch(&self, first: u64, batch: &RecordBatch) -> Vec<Item> {
        let file = below(&self.folder, &self.name);
        let column = |name: &Option<String>| {
            let name = name.as_ref()?;
            batch.column_by_name(name).and_then(TextColumn::of)
        };
        let (ids, labels) = (column(&self.columns.id), column(&self.columns.label));
        let images = batch.column_by_name(&self.columns.image);
        let Some(images) = images.and_then(ImageColumn::of) else {
            return Vec::new(); // its type was checked when the file was opened
        };
        let item = |(row, number): (usize, u64)| {
            let place = format!("{file}#{number}");
            let named = ids.as_ref().and_then(|ids| ids.at(row));
            let found = images.at(row, &self.place, &self.folder());
            let path = found.as_ref().ok().and_then(|(_, path)| path.clone());
            let (id, path) = (
                named.unwrap_or_else(|| place.clone()),
                path.unwrap_or(place),
            );
            match found {
                Ok((image, _)) => Ok(Found {
                    id,
                    path,
                    label: labels.as_ref().and_then(|labels| labels.at(row)),
                    json: None,
                    image,
                    mask: None,
                }),
                Err(reason) => Err(Unusable {
                    id: Some(id),
                    path,
                    reason,
                }),
            }
        };
        (0..batch.num_rows()).zip(first..).map(item).collect()
    }

    /// The folder that it lies in, to which paths in it are relative.
    fn folder(&self) -> String {
        let folder = self.name.rsplit_once('/').map(|(folder, _)| folder);
        folder.unwrap_or_default().to_owned()
    }

    fn damaged(&self, row: u64, error: &ParquetError) -> Item {
        let file = below(&self.folder, &self.name);
        Err(Unusable {
            id: None,
            path: format!("{file}#{row}"),
            reason: format!("The file is damaged here, and what follows is left out: {error}."),
        })
    }
}

impl Chosen {
    /// The columns that were named, or those that are usual, with the types that are read.
    fn of(
        metadata: &ArrowReaderMetadata,
        columns: &Columns,
        address: &str,
    ) -> Result<Self, InputError> {
        let schema = metadata.schema();
        let known = || {
            let fields = schema.fields().iter();
            let fields = fields.map(|field| format!("{} ({})", field.name(), field.data_type()));
            fields.collect::<Vec<_>>().join(", ")
        };
        let missing = |column: &str, flag| InputError::Column {
            address: address.to_owned(),
            column: column.to_owned(),
            known: known(),
            flag,
        };
        let mistyped = |column: &str, expected| InputError::Content {
            address: address.to_owned(),
            detail: format!(
                "its column {column:?} holds no {expected}: it has {}",
                known()
            ),
        };
        let usual = IMAGES
            .iter()
            .find(|name| schema.field_with_name(name).is_ok());
        let usual = || usual.unwrap_or(&IMAGES[0]).to_string();
        let image = columns.image.clone().unwrap_or_else(usual);
        let field = schema.field_with_name(&image);
        let field = field.map_err(|_| missing(&image, "--column"))?;
        if !ImageColumn::reads(field.data_type()) {
            return Err(mistyped(
                &image,
                "images (bytes, paths, or a structure of both)",
            ));
        }
        let text = |name: &Option<String>, flag| {
            let Some(name) = name else { return Ok(None) };
            let field = schema.field_with_name(name);
            let field = field.map_err(|_| missing(name, flag))?;
            if !TextColumn::reads(field.data_type()) {
                return Err(mistyped(name, "texts or integers"));
            }
            Ok(Some(name.clone()))
        };
        let id = text(&columns.id, "--id-column")?;
        let label = text(&columns.label, "--label-column")?;
        Ok(Self { image, id, label })
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.id, &self.label].into_iter().flatten();
        std::iter::once(&self.image)
            .chain(texts)
            .map(String::as_str)
    }
}
