//! A run: steps, metrics and checkpoints in one folder, which goes on where it was when it is started again.
//!
//! ```text
//! RUN/recipe.toml                    every setting
//! RUN/metrics.jsonl                  one line a step
//! RUN/checkpoints/00000120/          state.safetensors, state.json, model.safetensors, heads.safetensors
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use tch::Device;

use crate::learner::{Learner, Logs};
use crate::loader::{DataSet, Loader};
use crate::recipe::Recipe;

mod checkpoint;
mod differences;
mod error;

pub use self::checkpoint::{latest, read, write};
pub use self::error::RunError;

/// One line a step.
const METRICS: &str = "metrics.jsonl";

/// How a run is carried out: nothing here changes what it computes.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Threads that load images.
    pub loader_threads: NonZeroUsize,
    /// Steps between checkpoints.
    pub checkpoint_every: NonZeroU64,
    /// Checkpoints that are kept.
    pub keep: NonZeroUsize,
    /// Where it computes.
    pub device: Device,
}

/// What is said of each step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// What it says about itself.
    #[serde(flatten)]
    pub logs: Logs,
    /// Images a second, waiting for them included.
    pub images_per_second: f64,
    /// Share of the step's time that it waited for its batch.
    pub waiting: f64,
}

/// A run between two steps.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    recipe: Recipe,
    options: RunOptions,
    learner: Learner,
    loader: Loader,
    metrics: File,
    steps: u64,
}

impl Run {
    /// Starts the run in `folder`, or goes on after its last checkpoint. A folder of another recipe is refused.
    pub fn open(
        folder: &Path,
        data: &Path,
        recipe: Recipe,
        options: RunOptions,
    ) -> Result<Self, RunError> {
        let data = std::sync::Arc::new(DataSet::open(data)?);
        keep_recipe(folder, &recipe)?;
        let mut learner = recipe.learner(data.len(), options.device);
        if let Some(place) = latest(folder)? {
            learner
                .restore(&read(&place)?, options.device)
                .map_err(|source| RunError::Foreign { place, source })?;
        }
        let next = learner.step_number();
        let steps = recipe.steps(data.len());
        let metrics = metrics(&folder.join(METRICS), next)?;
        let loader = Loader::start(data, recipe, next, options.loader_threads)?;
        Ok(Self {
            folder: folder.to_owned(),
            recipe,
            options,
            learner,
            loader,
            metrics,
            steps,
        })
    }

    /// Steps of the whole run.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The next step, from 0.
    #[must_use]
    pub const fn next_step(&self) -> u64 {
        self.learner.step_number()
    }

    /// Takes the next step; nothing where the run is over. It saves a checkpoint where one is due, and at the end.
    pub fn step(&mut self) -> Result<Option<StepReport>, RunError> {
        let step = self.learner.step_number();
        if step >= self.steps {
            return Ok(None);
        }
        let begin = Instant::now();
        let Some(batch) = self.loader.next() else {
            return Ok(None);
        };
        let batch = batch?;
        let waited = begin.elapsed().as_secs_f64();
        let logs = self.learner.step(&batch.to_device(self.options.device));
        let seconds = begin.elapsed().as_secs_f64();
        if !logs.loss.is_finite() {
            return Err(RunError::Diverged {
                step,
                loss: logs.loss,
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "batches are below 2^52")]
        let report = StepReport {
            step,
            logs,
            images_per_second: self.recipe.batch as f64 / seconds,
            waiting: waited / seconds,
        };
        self.note(&report)?;
        let done = step + 1;
        if done == self.steps || done.is_multiple_of(self.options.checkpoint_every.get()) {
            self.save()?;
        }
        Ok(Some(report))
    }

    /// Saves a checkpoint, and removes the oldest of more than are kept.
    pub fn save(&self) -> Result<PathBuf, RunError> {
        write(&self.folder, &self.learner, self.options.keep)
    }

    fn note(&mut self, report: &StepReport) -> Result<(), RunError> {
        let line = serde_json::to_string(report).map_err(std::io::Error::from);
        line.and_then(|line| writeln!(self.metrics, "{line}"))
            .map_err(|cause| RunError::file(&self.folder.join(METRICS), cause))
    }
}

/// Writes the recipe of a new run, or compares it with the one that is there.
fn keep_recipe(folder: &Path, recipe: &Recipe) -> Result<(), RunError> {
    let path = folder.join("recipe.toml");
    let failed = |source| RunError::file(&path, source);
    if path.exists() {
        let there = Recipe::read(&path, &[])?;
        let differences = differences::between(&there, recipe)?;
        if !differences.is_empty() {
            let folder = folder.to_owned();
            return Err(RunError::OtherRecipe {
                folder,
                differences,
            });
        }
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(&path, recipe.to_toml()?).map_err(failed)
}

/// The metrics of the steps before `next`, with room for more: steps after the last checkpoint are taken again.
fn metrics(path: &Path, next: u64) -> Result<File, RunError> {
    let failed = |source| RunError::file(path, source);
    let before = match fs::read_to_string(path) {
        Ok(lines) => lines,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let step = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line.get("step")?.as_u64()
    };
    let kept = before
        .lines()
        .filter(|line| step(line).is_some_and(|step| step < next));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    fs::write(path, kept).map_err(failed)?;
    OpenOptions::new().append(true).open(path).map_err(failed)
}
