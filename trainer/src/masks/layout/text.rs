//! The lines of a text file, with their numbers, for errors that name both. It refuses what is not UTF-8.

use std::fs;
use std::path::PathBuf;

use crate::masks::MasksError;

/// A text file, read.
pub(super) struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, MasksError> {
        let text = fs::read_to_string(&path).map_err(MasksError::io(&path))?;
        Ok(Self { path, text })
    }

    /// The lines that are not blank, with their numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.text.lines());
        lines.filter(|(_, line)| !line.trim().is_empty())
    }

    pub(super) fn refusal(&self, line: usize, detail: impl Into<String>) -> MasksError {
        MasksError::Line {
            path: self.path.clone(),
            line,
            detail: detail.into(),
        }
    }
}
