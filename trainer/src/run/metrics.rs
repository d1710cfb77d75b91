//! What a run says of its steps: lines of JSON, and the same numbers for `TensorBoard`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::RunError;
use super::events::Events;
use super::folder::write_whole;

/// One line a step.
pub const METRICS: &str = "metrics.jsonl";
/// Folder of the event files.
const EVENTS: &str = "tensorboard";

/// The open files of a run's numbers.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    lines: File,
    /// Bytes of whole lines.
    length: u64,
    events: Events,
}

impl Metrics {
    /// Goes on at step `next`: what was said of it and of later steps is taken back, for they are taken again.
    pub(super) fn open(run: &Path, next: u64) -> Result<Self, RunError> {
        let path = run.join(METRICS);
        let failed = |cause| RunError::file(&path, cause);
        let before = match fs::read_to_string(&path) {
            Ok(lines) => lines,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let step = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            line.get("step")?.as_u64()
        };
        let kept = before
            .lines()
            .filter(|line| step(line).is_some_and(|step| step < next));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        write_whole(&path, kept.as_bytes())?;
        let lines = OpenOptions::new().append(true).open(&path);
        let folder = run.join(EVENTS);
        let events = Events::open(&folder, next);
        Ok(Self {
            lines: lines.map_err(failed)?,
            length: kept.len() as u64,
            events: events.map_err(|cause| RunError::file(&folder, cause))?,
            path,
        })
    }

    /// Notes what is said of a step: a map of numbers and of maps of numbers.
    pub(super) fn note(&mut self, step: u64, report: &impl Serialize) -> Result<(), RunError> {
        let path = self.path.clone();
        let failed = |cause: io::Error| RunError::file(&path, cause);
        let report = serde_json::to_value(report).map_err(|error| failed(error.into()))?;
        self.line(&format!("{report}\n")).map_err(failed)?;
        let mut scalars = Vec::new();
        flatten("", &report, &mut scalars);
        scalars.retain(|(name, _)| name != "step");
        self.events.scalars(step, scalars).map_err(failed)
    }
}

impl Metrics {
    /// Writes a line whole, or takes back what was written of it.
    fn line(&mut self, line: &str) -> io::Result<()> {
        let written = self.lines.write_all(line.as_bytes());
        match written {
            Ok(()) => self.length += line.len() as u64,
            Err(_) => self.lines.set_len(self.length)?,
        }
        written
    }
}

/// Every number, under the names that lead to it: `projections/mean`.
fn flatten(name: &str, value: &Value, scalars: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => {
            scalars.extend(number.as_f64().map(|number| (name.to_owned(), number)));
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let slash = if name.is_empty() { "" } else { "/" };
                flatten(&format!("{name}{slash}{key}"), value, scalars);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}
