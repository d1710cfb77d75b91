//! Why an input cannot be used. What is wrong with one image is no such reason.

use crate::input::Kind;
use crate::place::PlaceError;

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It could not be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Nothing to do.
    #[error(
        "{address} holds nothing that is read: images, tar shards, Parquet files, TFRecord shards (in folders below it too), \
         a list (.txt) or a table (.csv, .parquet)"
    )]
    Empty {
        /// The input.
        address: String,
    },
    /// A compressed archive.
    #[error(
        "{address} is compressed, and tar shards are read as they are: unpack it (gunzip, unzstd)"
    )]
    Compressed {
        /// The archive.
        address: String,
    },
    /// Several kinds of files.
    #[error(
        "{address} holds {} and {}: name one of them by a pattern, such as '{address}/**/*.{{jpg,png}}' or '{address}/*.tar'",
        one.name(), other.name()
    )]
    Mixed {
        /// The input.
        address: String,
        /// A kind.
        one: Kind,
        /// Another.
        other: Kind,
    },
    /// A pattern that is none.
    #[error("{pattern} is no pattern: {source}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A file that is not what its name says.
    #[error("{address}: {detail}")]
    Content {
        /// The file.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A column that is not there.
    #[error("{address} has no column {column:?}: it has {known}; name one with {flag}")]
    Column {
        /// The file.
        address: String,
        /// The column.
        column: String,
        /// Those that it has.
        known: String,
        /// The flag.
        flag: &'static str,
    },
    /// An id twice.
    #[error(
        "{address} has the id {id:?} twice (lines {first} and {second}): ids have to tell images apart"
    )]
    Twice {
        /// The list.
        address: String,
        /// The id.
        id: String,
        /// Its line.
        first: u64,
        /// Its line again.
        second: u64,
    },
    /// More parts than there is anything to put into.
    #[error(
        "the input cannot be divided into {asked} parts: it has {most} {what}, and a part has one at least"
    )]
    Parts {
        /// Parts asked for.
        asked: u64,
        /// Most parts.
        most: u64,
        /// What it is divided by.
        what: &'static str,
    },
    /// Flags that are for tables.
    #[error("{flag} is for tables (.csv, .parquet), and the input is {}", kind.name())]
    NoColumns {
        /// The flag.
        flag: &'static str,
        /// What the input is.
        kind: Kind,
    },
}
