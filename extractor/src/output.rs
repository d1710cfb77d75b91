//! Parts: Parquet files of rows, which appear whole or not at all, and say what they were made by. Nothing else says what
//! is done: a part that is there is done.

mod identity;
mod name;
mod npy;
mod part;
mod rows;
mod there;

use std::sync::Arc;

use crate::place::{Place, PlaceError};

pub use self::identity::{Fact, Identity};
pub use self::name::PartName;
pub use self::part::{Finished, PartWriter};
pub use self::rows::{Columns, Vectors};
pub use self::there::{PartThere, There};

/// How parts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Everything in Parquet.
    Parquet,
    /// Vectors in arrays of NumPy's, beside a Parquet file of everything else.
    Npy,
}

impl Format {
    /// Its name in what parts say of themselves.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Npy => "npy",
        }
    }
}

/// Why a part cannot be written, or what is there cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A file could not be read or written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Parquet says no.
    #[error("{address} could not be written: {source}")]
    Parquet {
        /// The part.
        address: String,
        /// What was wrong.
        source: parquet::errors::ParquetError,
    },
    /// A part that is no whole Parquet file, or one of another program.
    #[error(
        "{address} is no part that this program wrote ({reason}): remove it, and the part is made again, or give another \
         output"
    )]
    Foreign {
        /// The file.
        address: String,
        /// Why not.
        reason: String,
    },
    /// Parts of another run.
    #[error(
        "{address} was made by another run ({differences}): give another output, or the input, model and flags of then"
    )]
    Other {
        /// A part.
        address: String,
        /// What differs, then and now.
        differences: String,
    },
    /// Arrays of rows of different shapes.
    #[error(
        "{address}: --format npy writes arrays of one shape, and {path} has features of {found:?} where those before it have \
         {expected:?}: leave it out, or see images with --view center"
    )]
    Uneven {
        /// The array.
        address: String,
        /// The image.
        path: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape of those before it.
        expected: Vec<usize>,
    },
}

/// Where parts go, and what they are.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where.
    pub place: Place,
    /// How.
    pub format: Format,
    /// What they have in them.
    pub columns: Columns,
    /// What they are made by.
    pub identity: Arc<Identity>,
    /// How many there are.
    pub parts: u32,
}

impl Parts {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.parts
    }

    /// Begins a part.
    pub fn begin(&self, index: u32) -> Result<PartWriter, OutputError> {
        let count = self.parts;
        PartWriter::begin(self, PartName { index, count })
    }

    /// Gives a part its place: its errors first, then its array, and last what says that it is there.
    pub fn publish(&self, finished: Finished) -> Result<(), PlaceError> {
        let mut files = finished.into_files().into_iter();
        files.try_for_each(|staged| self.place.publish(staged))
    }

    /// What of it is there already; refused where it is of another run.
    pub fn there(&self) -> Result<There, OutputError> {
        let there = There::read(&self.place)?;
        there.check(&self.identity, self.parts)?;
        Ok(there)
    }
}
