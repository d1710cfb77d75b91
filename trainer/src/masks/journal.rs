//! What a run leaves beside its shards, so that it can be taken up again: the settings, and a report for each shard.
//!
//! It lies in `OUTPUT/train.masks/`: `manifest.json`, and `00000.json` for the shard `train-00000-of-…`. A report is
//! written before its shard appears, so a shard without one is not this program's.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use detcon_core::files::temporary_in;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::summary::ShardReport;
use super::{MaskSettings, MasksError, SourceSet};
use detcon_data::shards::{ShardName, Split};

/// Version of the files' form.
const FORMAT: u32 = 2;

/// Everything that decides the bytes of a data set.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Manifest {
    format: u32,
    split: Split,
    layout: &'static str,
    images: usize,
    /// Of the images' paths and classes in order.
    images_sha256: String,
    settings: MaskSettings,
}

impl Manifest {
    pub(super) fn of(set: &SourceSet, split: Split, settings: &MaskSettings) -> Self {
        Self {
            format: FORMAT,
            split,
            layout: set.layout,
            images: set.len(),
            images_sha256: set.digest(),
            settings: settings.clone(),
        }
    }
}

/// The folder of a split's journal.
pub(super) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Begins a run, or takes up one of the same manifest.
    pub(super) fn begin(output: &Path, manifest: &Manifest) -> Result<Self, MasksError> {
        let folder = output.join(format!("{}.masks", manifest.split.name()));
        fs::create_dir_all(&folder).map_err(MasksError::io(&folder))?;
        let journal = Self { folder };
        let path = journal.folder.join("manifest.json");
        match read::<Value>(&path)? {
            None => write(&path, &json(manifest))?,
            Some(earlier) => {
                let now = serde_json::to_value(manifest).expect("a manifest is plain data");
                let mut differences = Vec::new();
                compare("", &earlier, &now, &mut differences);
                if !differences.is_empty() {
                    let differences = differences.join(", ");
                    return Err(MasksError::OtherSettings { path, differences });
                }
            }
        }
        Ok(journal)
    }

    /// The report of a shard, if the shard has been begun.
    pub(super) fn report(&self, name: ShardName) -> Result<Option<ShardReport>, MasksError> {
        read(&self.report_path(name))
    }

    /// Keeps the report of a shard that is about to appear.
    pub(super) fn keep(&self, name: ShardName, report: &ShardReport) -> Result<(), MasksError> {
        write(&self.report_path(name), &json(report))
    }

    /// Writes a file of the whole run beside the reports.
    pub(super) fn attach(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, MasksError> {
        let path = self.folder.join(name);
        write(&path, bytes)?;
        Ok(path)
    }

    fn report_path(&self, name: ShardName) -> PathBuf {
        self.folder.join(format!("{:05}.json", name.index))
    }
}

/// JSON for a file: indented, with a line's end.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("journals are plain data");
    text.push(b'\n');
    text
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, MasksError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(MasksError::io(path))?,
    };
    let value = serde_json::from_slice(&text).map_err(|source| MasksError::Journal {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(value))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), MasksError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let place = || {
        let mut file = temporary_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(folder)
    };
    place().map_err(MasksError::io(path))
}

/// Makes a rename in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Lists the values that differ, by their path.
fn compare(path: &str, earlier: &Value, now: &Value, differences: &mut Vec<String>) {
    match (earlier, now) {
        (Value::Object(one), Value::Object(other)) => {
            let added = other.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(added) {
                let name = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(&name, &earlier[key], &now[key], differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (place, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{place}]"), one, other, differences);
            }
        }
        (one, other) if one != other => differences.push(format!("{path} {one}, now {other}")),
        _ => {}
    }
}
