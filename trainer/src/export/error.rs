//! Why a run gave no model.

use std::fmt::Write as _;
use std::path::PathBuf;

use detcon_converter::WriteError;
use detcon_core::checkpoint::FitError;

use crate::recipe::RecipeError;
use crate::run::RunError;

/// Why no model directory was made of a run. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder is no run's.
    #[error("{} is no run's folder ({cause}): give what pretrain had as --run", run.join("recipe.toml").display())]
    NoRun {
        /// The folder.
        run: PathBuf,
        /// What the system said of its recipe.
        cause: std::io::Error,
    },
    /// The run has not come to its first checkpoint.
    #[error(
        "{} has no checkpoint yet: start its pretrain again and let it run for --checkpoint-every steps, or stop it with \
         SIGTERM after any",
        run.display()
    )]
    Nothing {
        /// The run.
        run: PathBuf,
    },
    /// None was written after this step, or it was removed.
    #[error("{} has no checkpoint of step {step}: give --step {}", run.display(), choices(steps))]
    NoSuchStep {
        /// The run.
        run: PathBuf,
        /// The step asked for.
        step: u64,
        /// Those there are.
        steps: Vec<u64>,
    },
    /// No checkpoint says how good it is.
    #[error("no checkpoint of {} has a score: give --step {}", run.display(), choices(steps))]
    Unscored {
        /// The run.
        run: PathBuf,
        /// Its checkpoints.
        steps: Vec<u64>,
    },
    /// The checkpoint is not what was written.
    #[error("{}: {reason}: {}", place.display(), instead(others))]
    Damaged {
        /// The checkpoint.
        place: PathBuf,
        /// What is wrong.
        reason: String,
        /// Steps of the other checkpoints.
        others: Vec<u64>,
    },
    /// DetCon-S trains one network.
    #[error("this run is of detcon-s, which has no target network: give --weights online")]
    NoTarget,
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Its tensors do not make a network.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The directory cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// `2, 4 or last`.
fn choices(steps: &[u64]) -> String {
    let mut text = String::new();
    for (number, step) in steps.iter().enumerate() {
        let before = if number == 0 { "" } else { ", " };
        let _ = write!(text, "{before}{step}"); // a String takes any text
    }
    text + " or last"
}

fn instead(others: &[u64]) -> String {
    if others.is_empty() {
        return "it is the run's only checkpoint: start its pretrain again in an empty folder"
            .to_owned();
    }
    format!(
        "give another, --step {}",
        choices(others).replace(" or last", "")
    )
}
