//! Where images are and where parts go: a folder, or a bucket of S3, Google Cloud Storage or Azure. Both are files under
//! names with `/` between their parts, read whole, in ranges or as streams, and written whole or not at all.

mod address;
mod bucket;
mod chunks;
mod error;
mod folder;
mod watched;

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use self::address::{Address, Places};
pub use self::chunks::Chunks;
pub use self::error::PlaceError;
pub use self::watched::{Failure, Watched};

/// A file of a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, below the place's root.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Files under names. Whoever asks waits.
pub trait Files: fmt::Debug + Send + Sync {
    /// What a file is called in messages, and where other programs find it.
    fn address(&self, name: &str) -> String;

    /// Every file whose name begins with `folder` and a `/`, or every file where that is empty: sorted by name, without
    /// those that a part of their name below it hides by a dot.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, PlaceError>;

    /// The length of a file in bytes; nothing where there is none of that name, or a folder.
    fn length(&self, name: &str) -> Result<Option<u64>, PlaceError>;

    /// All of a file; of one that is longer than `limit`, more than that.
    fn read(&self, name: &str, limit: u64) -> Result<Bytes, PlaceError>;

    /// Some of a file's bytes, all of which it has.
    fn range(&self, name: &str, range: Range<u64>) -> Result<Bytes, PlaceError>;

    /// A file from its beginning, piece by piece.
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, PlaceError>;

    /// A file on a local disk to write what is to have a name, which nobody sees under it before [`Self::publish`]. What
    /// a killed process left of it is written over; another process that is at it is an error.
    fn stage(&self, name: &str) -> Result<Staged, PlaceError>;

    /// Gives what was staged its name, with all of it stored, in one step.
    fn publish(&self, staged: Staged) -> Result<(), PlaceError>;

    /// That files can be written here, as far as it can be known without writing one.
    fn writable(&self) -> Result<(), PlaceError>;
}

/// A file that is being written.
#[derive(Debug)]
pub struct Staged {
    name: String,
    file: File,
    held: Held,
}

/// What removes a staged file that is not published.
#[derive(Debug)]
enum Held {
    /// A hidden file beside its place.
    Beside(Hidden),
    /// Without a name.
    Nameless,
}

/// A hidden file, until it has another name. Dropped before, it is removed; what a killed process leaves, the next writer
/// of its place writes over.
#[derive(Debug)]
struct Hidden(Option<PathBuf>);

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path); // nothing can be reported from here
        }
    }
}

impl Staged {
    /// The file, to write to.
    pub const fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

/// A place that is shared.
pub type Place = Arc<dyn Files>;

/// Whether a part of a name is hidden.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.'))
}
