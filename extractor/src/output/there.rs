//! What of an output is there already.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use parquet::file::metadata::ParquetMetaDataReader;

use super::identity::number;
use super::{Fact, Identity, OutputError, PartName};
use crate::place::{Chunks, Entry, Failure, Place, PlaceError};

/// Footers that are read at the same time: a bucket takes long to answer.
const READERS: usize = 16;

/// A part that is there.
#[derive(Clone, Debug)]
pub struct PartThere {
    /// Which.
    pub name: PartName,
    /// Where it is.
    pub address: String,
    /// What made it.
    pub identity: Identity,
    /// Its rows.
    pub rows: u64,
    /// Images that they are of, those without a row too.
    pub images: u64,
    /// Images that could not be used.
    pub errors: u64,
}

/// The parts that are there, by their numbers.
#[derive(Clone, Debug)]
pub struct There {
    /// Each of them.
    pub parts: Vec<PartThere>,
}

impl There {
    /// Reads the names and the footers of the parts in a place.
    pub fn read(place: &Place) -> Result<Self, OutputError> {
        let listed = match place.list("") {
            Err(PlaceError::Missing { .. }) => Vec::new(), // nothing is there yet
            listed => listed?,
        };
        let named = listed.into_iter().filter_map(|file| {
            let name = file.name.parse().ok()?;
            Some((file, name))
        });
        let named: Vec<(Entry, PartName)> = named.collect();
        let read = |named: &[(Entry, PartName)]| {
            let named = named.iter();
            let parts = named.map(|(file, name)| PartThere::read(place, file, *name));
            parts.collect::<Result<Vec<_>, _>>()
        };
        let share = named.len().div_ceil(READERS).max(1);
        let parts = thread::scope(|scope| {
            let read = &read;
            let readers = named
                .chunks(share)
                .map(|named| scope.spawn(move || read(named)));
            let readers: Vec<_> = readers.collect();
            let joined = readers.into_iter().map(|reader| {
                let parts = reader.join();
                parts.unwrap_or_else(|panic| resume_unwind(panic))
            });
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        let parts = parts.concat();
        Ok(Self { parts })
    }

    /// Refuses parts of another run.
    pub(super) fn check(&self, now: &Identity, count: u32) -> Result<(), OutputError> {
        for part in &self.parts {
            let mut differences = part.identity.differences(now);
            if part.name.count != count && differences.is_empty() {
                let then = part.name.count;
                differences.push(format!("{}: {then} then, {count} now", Fact::Parts.name()));
            }
            if !differences.is_empty() {
                return Err(OutputError::Other {
                    address: part.address.clone(),
                    differences: differences.join("; "),
                });
            }
        }
        Ok(())
    }

    /// Refuses parts that are not of one run.
    pub fn of_one_run(&self) -> Result<(), OutputError> {
        match self.parts.first() {
            Some(first) => self.check(&first.identity, first.name.count),
            None => Ok(()),
        }
    }

    /// Whether a part is there.
    #[must_use]
    pub fn holds(&self, index: u32) -> bool {
        self.parts.iter().any(|part| part.name.index == index)
    }
}

impl PartThere {
    fn read(place: &Place, file: &Entry, name: PartName) -> Result<Self, OutputError> {
        let address = place.address(&file.name);
        let foreign = |reason: String| OutputError::Foreign {
            address: address.clone(),
            reason,
        };
        let failure = Failure::default();
        let chunks = Chunks::new(place, &file.name, file.bytes, &failure);
        let footer = ParquetMetaDataReader::new().parse_and_finish(&chunks);
        let footer = footer.map_err(|error| match failure.take() {
            Some(failure) => failure.into(),
            None => foreign(error.to_string()),
        })?;
        let footer = footer.file_metadata();
        let entries = footer.key_value_metadata().into_iter().flatten();
        let entries = entries.map(|it| (it.key.clone(), it.value.clone().unwrap_or_default()));
        let entries: BTreeMap<_, _> = entries.collect();
        let silent = || foreign("it does not say what made it".to_owned());
        Ok(Self {
            name,
            identity: Identity::read(&entries).ok_or_else(silent)?,
            rows: u64::try_from(footer.num_rows()).unwrap_or(0),
            images: number(&entries, "images").ok_or_else(silent)?,
            errors: number(&entries, "errors").ok_or_else(silent)?,
            address,
        })
    }
}
