//! Lists of images: a path on each line, perhaps a tab and the class; and CSV files with a column of paths. Paths are
//! relative to the list's folder, or addresses of their own.

use std::collections::HashMap;

use detcon_core::digest::Hasher;

use super::{Columns, Found, Image, InputError, Item, Kind, Unusable};
use crate::place::{Address, Place, PlaceError, Places};

/// Longest list, in bytes.
const LONGEST: u64 = 1 << 34;
/// The column of paths, where none is named.
const PATHS: &str = "path";

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    path: String,
    id: Option<String>,
    label: Option<String>,
}

impl Line {
    pub(super) fn hash(&self, hasher: &mut Hasher) {
        let texts = [Some(&self.path), self.id.as_ref(), self.label.as_ref()];
        for text in texts {
            hasher.update(text.map_or(&[][..], |text| text.as_bytes()));
            hasher.update(&[0, u8::from(text.is_some())]);
        }
    }

    fn id(&self) -> &str {
        self.id.as_ref().unwrap_or(&self.path)
    }

    /// The image that it names.
    pub(super) fn found(self, places: &Places, folder: &Address) -> Result<Item, PlaceError> {
        let address = match folder.join(&self.path) {
            Ok(address) => address,
            Err(error) => {
                return Ok(Err(Unusable {
                    id: self.id,
                    path: self.path,
                    reason: error.to_string(),
                }));
            }
        };
        let place = places.root(&address)?;
        Ok(Ok(Found {
            id: self.id().to_owned(),
            path: self.path,
            label: self.label,
            json: None,
            image: Image::At {
                place,
                name: address.name().to_owned(),
            },
            mask: None,
        }))
    }
}

/// Refuses names of columns for an input that has none.
pub(super) fn no_columns(kind: Kind, columns: &Columns) -> Result<(), InputError> {
    let given = [
        (&columns.image, "--column"),
        (&columns.id, "--id-column"),
        (&columns.label, "--label-column"),
    ];
    match given.into_iter().find(|(name, _)| name.is_some()) {
        Some((_, flag)) => Err(InputError::NoColumns { flag, kind }),
        None => Ok(()),
    }
}

/// The lines of a text file.
pub(super) fn text(place: &Place, name: &str, columns: &Columns) -> Result<Vec<Line>, InputError> {
    no_columns(Kind::List, columns)?;
    let bytes = place.read(name, LONGEST)?;
    let address = place.address(name);
    let text = std::str::from_utf8(&bytes).map_err(|error| InputError::Content {
        address: address.clone(),
        detail: format!("it is no UTF-8 text: {error}"),
    })?;
    let mut lines = Vec::new();
    let mut ids = Ids::new(address);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let (path, label) = match line.split_once('\t') {
            Some((path, label)) => (path.trim_end(), Some(label.to_owned())),
            None => (line, None),
        };
        let line = Line {
            path: path.to_owned(),
            id: None,
            label,
        };
        ids.add(line.id(), number)?;
        lines.push(line);
    }
    Ok(lines)
}

/// The rows of a CSV file.
pub(super) fn table(place: &Place, name: &str, columns: &Columns) -> Result<Vec<Line>, InputError> {
    let address = place.address(name);
    let wrong = |error: csv::Error| InputError::Content {
        address: place.address(name),
        detail: format!("it is no CSV file with one heading: {error}"),
    };
    let mut reader = csv::Reader::from_reader(place.open(name)?);
    let heading = reader.headers().map_err(wrong)?.clone();
    let place_of = |column: &str, flag| {
        let found = heading.iter().position(|name| name == column);
        found.ok_or_else(|| InputError::Column {
            address: address.clone(),
            column: column.to_owned(),
            known: heading.iter().collect::<Vec<_>>().join(", "),
            flag,
        })
    };
    let path = place_of(columns.image.as_deref().unwrap_or(PATHS), "--column")?;
    let id = columns.id.as_deref();
    let id = id.map(|id| place_of(id, "--id-column")).transpose()?;
    let label = columns.label.as_deref();
    let label = label.map(|it| place_of(it, "--label-column")).transpose()?;
    let mut lines = Vec::new();
    let mut ids = Ids::new(address.clone());
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let number = row.position().map_or(0, csv::Position::line);
        let text = |column: usize| row.get(column).unwrap_or_default().to_owned();
        let line = Line {
            path: text(path),
            id: id.map(text),
            label: label.map(text).filter(|label| !label.is_empty()),
        };
        ids.add(line.id(), number)?;
        lines.push(line);
    }
    Ok(lines)
}

/// The lines of ids.
struct Ids {
    address: String,
    lines: HashMap<String, u64>,
}

impl Ids {
    fn new(address: String) -> Self {
        Self {
            address,
            lines: HashMap::new(),
        }
    }

    fn add(&mut self, id: &str, line: u64) -> Result<(), InputError> {
        match self.lines.insert(id.to_owned(), line) {
            None => Ok(()),
            Some(first) => Err(InputError::Twice {
                address: self.address.clone(),
                id: id.to_owned(),
                first,
                second: line,
            }),
        }
    }
}
