//! What an input is read as, by the names of its files.

use std::path::Path;

use detcon_data::image_name::is_image;
use detcon_data::shards::ShardName;

/// What an input is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Images in files of their own.
    Images,
    /// A text file of paths.
    List,
    /// A CSV file with a column of paths.
    Csv,
    /// Tar shards.
    Tar,
    /// Parquet files.
    Parquet,
    /// TFRecord shards.
    Records,
}

impl Kind {
    /// What a file of this name is, if it is anything that is read.
    pub(super) fn of(name: &str) -> Option<Self> {
        let path = Path::new(name);
        if is_image(path) {
            return Some(Self::Images);
        }
        let file = path.file_name()?.to_str()?;
        if file.parse::<ShardName>().is_ok() {
            return Some(Self::Records);
        }
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "tar" => Some(Self::Tar),
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "txt" | "lst" | "list" | "tsv" => Some(Self::List),
            "tfrecord" | "tfrecords" => Some(Self::Records),
            _ => None,
        }
    }

    /// Whether it is read where a folder holds it; of lists one is named.
    pub(super) const fn is_found_in_folders(self) -> bool {
        match self {
            Self::Images | Self::Tar | Self::Parquet | Self::Records => true,
            Self::List | Self::Csv => false,
        }
    }

    /// Its name in messages and in what parts say of their input.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::List => "a list",
            Self::Csv => "a CSV file",
            Self::Tar => "tar shards",
            Self::Parquet => "Parquet files",
            Self::Records => "TFRecord shards",
        }
    }

    /// What it is divided by.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Images | Self::List | Self::Csv => "images",
            Self::Tar => "tar shards",
            Self::Parquet => "rows",
            Self::Records => "TFRecord shards",
        }
    }

    /// Whether texts come with its images.
    #[must_use]
    pub const fn has_texts(self) -> bool {
        match self {
            Self::Tar => true,
            Self::Images | Self::List | Self::Csv | Self::Parquet | Self::Records => false,
        }
    }

    /// Whether masks may come with its images.
    #[must_use]
    pub const fn has_masks(self) -> bool {
        match self {
            Self::Tar | Self::Records => true,
            Self::Images | Self::List | Self::Csv | Self::Parquet => false,
        }
    }
}
