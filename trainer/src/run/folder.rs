//! A run's folder: who is at it, what the run is, and what it was begun with.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use detcon_core::files::temporary_in;
use serde::{Deserialize, Serialize};

use super::{OtherData, RunError, differences};
use crate::loader::DataSet;
use crate::recipe::Recipe;

/// Held while a process is at the run.
const LOCK: &str = "lock";
const RECIPE: &str = "recipe.toml";
const ABOUT: &str = "run.json";
/// The version of `run.json`. Before it there was none, and views were cropped otherwise.
const FORMAT: u32 = 3;

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: u32,
    /// What is learned from.
    data: Data,
    /// What the weights started from, where they were not drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<PathBuf>,
}

/// The images of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    images: u64,
    /// SHA-256 of their list.
    sha256: String,
}

impl Data {
    pub(super) fn of(set: &DataSet) -> Self {
        Self {
            images: set.len(),
            sha256: set.digest(),
        }
    }
}

/// The folder, held until it is dropped.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _held: File,
}

impl RunFolder {
    /// Makes the folder where it is not there, and holds it. One that another process holds is refused.
    pub(super) fn hold(path: &Path) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(|cause| RunError::file(path, cause))?;
        let lock = path.join(LOCK);
        let failed = |cause| RunError::file(&lock, cause);
        let mut options = File::options();
        let mut held = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(failed)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                held.read_to_string(&mut holder).map_err(failed)?;
                return Err(RunError::Held {
                    folder: path.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        sign(&mut held).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            _held: held,
        })
    }

    /// Notes what a new run is, or compares it with what is there: another recipe, other data (unless they are accepted)
    /// and runs of an older format are refused.
    pub(super) fn keep(
        &self,
        recipe: &Recipe,
        data: Data,
        other: OtherData,
        init: Option<&Path>,
    ) -> Result<(), RunError> {
        let (about, written) = (self.path.join(ABOUT), self.path.join(RECIPE));
        let before = read_about(&about)?;
        if before.is_none() && written.exists() {
            return Err(RunError::OlderFormat {
                folder: self.path.clone(),
            });
        }
        if written.exists() {
            self.compare(recipe, &Recipe::read(&written, &[])?)?;
        }
        match before {
            Some(before) if before.data == data => {}
            Some(before) if other == OtherData::Refuse => {
                return Err(RunError::OtherData {
                    folder: self.path.clone(),
                    images: before.data.images,
                    found: data.images,
                });
            }
            before => {
                let about_run = About {
                    format: FORMAT,
                    data,
                    init: before.map_or_else(|| init.map(Path::to_owned), |before| before.init),
                };
                let bytes = serde_json::to_vec_pretty(&about_run).unwrap_or_default();
                write_whole(&about, &bytes)?;
            }
        }
        if written.exists() {
            return Ok(());
        }
        write_whole(&written, recipe.to_toml()?.as_bytes())
    }

    fn compare(&self, recipe: &Recipe, there: &Recipe) -> Result<(), RunError> {
        let differences = differences::between(there, recipe)?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(RunError::OtherRecipe {
            folder: self.path.clone(),
            differences,
        })
    }
}

/// Says who holds the folder.
fn sign(held: &mut File) -> io::Result<()> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.as_deref().map_or("this machine", str::trim);
    held.set_len(0)?;
    held.rewind()?;
    write!(held, "process {} on {host}", std::process::id())
}

fn read_about(path: &Path) -> Result<Option<About>, RunError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RunError::file(path, error)),
    };
    let about: About =
        serde_json::from_slice(&bytes).map_err(|error| RunError::file(path, error.into()))?;
    if about.format == FORMAT {
        return Ok(Some(about));
    }
    let other = format!(
        "its format is {}, and this version writes {FORMAT}",
        about.format
    );
    Err(RunError::file(path, io::Error::other(other)))
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let write = || {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let mut file = temporary_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        io::Result::Ok(())
    };
    write().map_err(|cause| RunError::file(path, cause))
}
