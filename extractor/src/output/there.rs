//! What of an output is there already.

use std::collections::BTreeMap;

use parquet::file::metadata::ParquetMetaDataReader;

use super::identity::number;
use super::{Fact, Identity, OutputError, PartName};
use crate::place::{Chunks, Failure, Place, PlaceError};

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
        let mut parts = Vec::new();
        for file in listed {
            if let Ok(name) = file.name.parse() {
                parts.push(PartThere::read(place, &file.name, file.bytes, name)?);
            }
        }
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
    fn read(place: &Place, file: &str, bytes: u64, name: PartName) -> Result<Self, OutputError> {
        let address = place.address(file);
        let foreign = |reason: String| OutputError::Foreign {
            address: address.clone(),
            reason,
        };
        let failure = Failure::default();
        let chunks = Chunks::new(place, file, bytes, &failure);
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
