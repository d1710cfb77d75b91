//! Why a recipe is none.

use std::path::PathBuf;

/// Why a recipe could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, or has a key or a value that no recipe has.
    #[error("the recipe cannot be used: {reason}")]
    Toml {
        /// Where and why.
        reason: String,
    },
    /// A value that TOML cannot hold: an integer of more than 63 bits.
    #[error("the recipe cannot be written: {source}")]
    Unwritten {
        /// What the writer said.
        source: toml::ser::Error,
    },
    /// An override that is no assignment, or assigns below something that is no table.
    #[error("{assignment:?} sets nothing: write KEY=VALUE, as in loss.temperature=0.2")]
    Override {
        /// What was given.
        assignment: String,
    },
    /// A warm-up that the run ends in.
    #[error(
        "warmup is {warmup} steps, and the run has {steps}: shorten warmup, or lengthen duration"
    )]
    Warmup {
        /// Steps of the warm-up.
        warmup: u64,
        /// Steps of the run.
        steps: u64,
    },
    /// A value that makes no sense, or contradicts another.
    #[error("{key} is {value}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it should be.
        reason: &'static str,
    },
}

impl RecipeError {
    /// In one line: the reader points into the text in several.
    pub(super) fn toml(error: &toml::de::Error) -> Self {
        let lines = error.to_string();
        let lines: Vec<&str> = lines.lines().map(str::trim).collect();
        Self::Toml {
            reason: lines.join(" ").trim().to_owned(),
        }
    }

    pub(super) const fn unwritten(source: toml::ser::Error) -> Self {
        Self::Unwritten { source }
    }
}
