//! NumPy's archives of arrays (`numpy.savez`, `savez_compressed`): names to arrays of numbers. Objects in them, which NumPy
//! pickles, are not read.

use crate::archive::{Archive, ArchiveError};
use crate::npy::{self, NpyError};
use crate::pickle::{Array, Text, Value, readable};

/// What a member's name ends in.
const ENDING: &str = ".npy";

/// Why an archive's arrays cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NpzError {
    /// The archive is damaged, or a bomb.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A member is no array of numbers.
    #[error("{name} in the archive cannot be read: {source}")]
    Member {
        /// The array's name.
        name: String,
        /// What is wrong with it.
        source: NpyError,
    },
}

/// The mapping of names to arrays.
pub(crate) fn read(bytes: &[u8]) -> Result<Value<'_>, NpzError> {
    let mut pairs = Vec::new();
    for (member, data) in Archive::read(bytes)?.unpacked()? {
        let name = member.strip_suffix(ENDING).unwrap_or(member);
        let array: Array<'_> = npy::array(&data).map_err(|source| NpzError::Member {
            name: readable(name),
            source,
        })?;
        pairs.push((Value::Str(Text::File(name)), Value::Array(array)));
    }
    Ok(Value::Dict(pairs))
}
