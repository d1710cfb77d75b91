//! Which images there are: a folder's, those of a list or of a table, those in tar shards as WebDataset writes them, in
//! Parquet files as Hugging Face's data sets have them, or in TFRecord shards; and how they are divided into parts, which
//! depends on them alone.

mod error;
mod find;
mod kind;
mod list;
mod parquet;
mod records;
mod sample;
mod tar;

use std::ops::Range;
use std::sync::Arc;

pub use self::error::InputError;
pub use self::kind::Kind;
pub use self::sample::{Found, Given, Image, Item, Unusable};

use self::list::Line;
use crate::place::{Address, Entry, Place, PlaceError, Places};

/// Names of columns, where the input has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of the images: their paths, or in Parquet also their bytes.
    pub image: Option<String>,
    /// Of their ids.
    pub id: Option<String>,
    /// Of their labels.
    pub label: Option<String>,
}

/// The images that there are, in an order.
#[derive(Debug)]
pub struct Input {
    kind: Kind,
    digest: String,
    units: Units,
}

/// What an input is divided by.
#[derive(Debug)]
enum Units {
    /// Image by image: files of a place, below a folder of it.
    Files {
        place: Place,
        folder: String,
        files: Vec<Entry>,
    },
    /// Image by image, wherever each is.
    Lines {
        places: Arc<Places>,
        folder: Address,
        lines: Vec<Line>,
    },
    /// Archive by archive: how many images are in one is not known before it is read.
    Archives {
        place: Place,
        folder: String,
        files: Vec<Entry>,
        open: Open,
    },
    /// Row by row.
    Rows(parquet::Table),
}

/// From an archive to the images in it.
type Open = fn(&Place, &str, &str) -> Result<Items, PlaceError>;

/// The images of a part, one after the other; an error ends them.
pub type Items = Box<dyn Iterator<Item = Result<Item, PlaceError>> + Send>;

/// How much of an input there is in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Images, where it is known.
    pub images: Option<u64>,
    /// Images, or bytes of archives: whatever progress is measured by.
    pub units: u64,
}

impl Input {
    /// Finds the images at a path, an address, or a pattern of either. Reads lists, and of Parquet files their footers.
    pub fn find(text: &str, columns: &Columns, places: &Arc<Places>) -> Result<Self, InputError> {
        find::find(text, columns, places)
    }

    /// What it is read as.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// SHA-256 of what there is: names and lengths of files, lines of lists. Not of the images' contents, which would take
    /// as long as the run.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Units that it can be divided by.
    fn len(&self) -> u64 {
        match &self.units {
            Units::Files { files, .. } | Units::Archives { files, .. } => files.len() as u64,
            Units::Lines { lines, .. } => lines.len() as u64,
            Units::Rows(table) => table.rows(),
        }
    }

    /// How many parts it is divided into: as many as were asked for, or else so that one has `usual` images at most, and
    /// of archives each is one.
    pub fn parts(&self, asked: Option<u32>, usual: u64) -> Result<u32, InputError> {
        let units = self.len();
        let usual = match &self.units {
            Units::Archives { .. } => 1,
            Units::Files { .. } | Units::Lines { .. } | Units::Rows(_) => usual,
        };
        let parts = asked.map_or(units.div_ceil(usual), u64::from);
        match u32::try_from(parts) {
            Ok(parts) if u64::from(parts) <= units && parts <= MOST_PARTS => Ok(parts),
            _ => Err(InputError::Parts {
                asked: parts,
                most: units.min(MOST_PARTS.into()),
                what: self.kind.unit(),
            }),
        }
    }

    /// The units of a part of so many: parts differ by one unit at most.
    fn range(&self, part: u32, parts: u32) -> Range<u64> {
        let bound = |part: u32| {
            let bound = u128::from(self.len()) * u128::from(part) / u128::from(parts);
            u64::try_from(bound).unwrap_or(u64::MAX) // it is at most the length
        };
        bound(part)..bound(part + 1)
    }

    /// How much there is in a part.
    #[must_use]
    pub fn amount(&self, part: u32, parts: u32) -> Amount {
        let range = self.range(part, parts);
        match &self.units {
            Units::Archives { files, .. } => Amount {
                images: None,
                units: files[places_of(&range)].iter().map(|file| file.bytes).sum(),
            },
            Units::Files { .. } | Units::Lines { .. } | Units::Rows(_) => {
                let units = range.end - range.start;
                Amount {
                    images: Some(units),
                    units,
                }
            }
        }
    }

    /// The images of a part of so many.
    pub fn items(&self, part: u32, parts: u32) -> Result<Items, PlaceError> {
        let range = self.range(part, parts);
        Ok(match &self.units {
            Units::Files {
                place,
                folder,
                files,
            } => {
                let files = files[places_of(&range)].to_vec();
                let (place, folder) = (Arc::clone(place), folder.clone());
                let found = files
                    .into_iter()
                    .map(move |file| Ok(Ok(Found::file(&place, &folder, file))));
                Box::new(found)
            }
            Units::Lines {
                places,
                folder,
                lines,
            } => {
                let lines = lines[places_of(&range)].to_vec();
                let (places, folder) = (Arc::clone(places), folder.clone());
                let found = lines
                    .into_iter()
                    .map(move |line| line.found(&places, &folder));
                Box::new(found)
            }
            Units::Archives {
                place,
                folder,
                files,
                open,
            } => {
                let files = files[places_of(&range)].to_vec();
                let (place, folder, open) = (Arc::clone(place), folder.clone(), *open);
                Box::new(files.into_iter().flat_map(move |file| {
                    let opened = open(&place, &folder, &file.name);
                    sample::distinct(opened.unwrap_or_else(|error| sample::one(Err(error))))
                }))
            }
            Units::Rows(table) => Box::new(sample::distinct(table.items(range))),
        })
    }
}

/// Most parts: their names have five digits.
const MOST_PARTS: u32 = 99_999;

/// A range of units as one of places in memory.
fn places_of(range: &Range<u64>) -> Range<usize> {
    let place = |unit: u64| usize::try_from(unit).unwrap_or(usize::MAX);
    place(range.start)..place(range.end)
}
