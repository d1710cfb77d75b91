//! Why a place cannot be used. What is wrong with one file is told apart from what ends a run.

use std::io;

/// Why a place, or a file of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The address is none.
    #[error(
        "{address} is no place for files: {reason}; give a path, s3://BUCKET/NAME, gs://… or az://…"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong about it.
        reason: String,
    },
    /// A file is not there.
    #[error("{address} is not there")]
    Missing {
        /// The file.
        address: String,
    },
    /// A name that is not UTF-8.
    #[error("{address} has a name that is no UTF-8, so no row could say it: rename it")]
    Name {
        /// The file, as far as it can be written.
        address: String,
    },
    /// Folders that lead into each other.
    #[error("{address} is more than {depth} folders deep: a link may lead back to a folder above")]
    Depth {
        /// The folder.
        address: String,
        /// Most folders.
        depth: usize,
    },
    /// The system did not read or write.
    #[error("{address}: {source}")]
    Io {
        /// The file.
        address: String,
        /// What it said.
        source: io::Error,
    },
    /// The disk is full.
    #[error("{address}: {source}; make room and start again: parts that are there stay")]
    Full {
        /// The file.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is at it.
    #[error(
        "another process is writing {address}: wait until it is done, or give workers shares that differ (--shard i/n)"
    )]
    Busy {
        /// The file.
        address: String,
    },
    /// Whoever asks has no credentials, or the wrong ones, or they have ended.
    #[error(
        "{address} refuses the credentials: {source}; set them as its own tools read them from the environment \
         (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME) and start \
         again: parts that are there stay"
    )]
    Credentials {
        /// What was asked for.
        address: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The store did not answer, or not well.
    #[error(
        "{address} cannot be used: {source}; see that it can be reached, its region and its endpoint (AWS_REGION, \
         AWS_ENDPOINT), and start again: parts that are there stay"
    )]
    Store {
        /// What was asked for.
        address: String,
        /// What happened.
        source: object_store::Error,
    },
}

impl PlaceError {
    /// What the system said about a file of this address.
    pub(super) fn io(address: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let address = address.into();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { address },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { address, source }
            }
            _ => Self::Io { address, source },
        }
    }

    /// What a store said about a file of this address.
    pub(super) fn store(address: impl Into<String>) -> impl FnOnce(object_store::Error) -> Self {
        use object_store::Error;
        let address = address.into();
        move |source| match source {
            Error::NotFound { .. } => Self::Missing { address },
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                Self::Credentials { address, source }
            }
            _ => Self::Store { address, source },
        }
    }

    /// What became of a stream of a file of this address.
    #[must_use]
    pub fn of_stream(address: &str, error: io::Error) -> Self {
        let kind = error.kind();
        match error.downcast::<object_store::Error>() {
            Ok(source) => Self::store(address)(source),
            Err(error) => Self::io(address)(io::Error::new(kind, error)),
        }
    }

    /// Whether it is about one file alone: the others of its place may be read all the same.
    #[must_use]
    pub const fn is_of_one_file(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Io { .. } => true,
            Self::Address { .. }
            | Self::Name { .. }
            | Self::Depth { .. }
            | Self::Full { .. }
            | Self::Busy { .. }
            | Self::Credentials { .. }
            | Self::Store { .. } => false,
        }
    }
}
