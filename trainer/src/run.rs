//! A run: steps, metrics and checkpoints in one folder, which goes on where it was when it is started again.
//!
//! ```text
//! RUN/recipe.toml                    every setting
//! RUN/metrics.jsonl                  one line a step
//! RUN/tensorboard/                   the same numbers for TensorBoard
//! RUN/checkpoints/00000120/          state.safetensors, state.json, model.safetensors, heads.safetensors
//! ```

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use tch::Device;

use crate::judge::Judge;
use crate::learner::{Learner, Logs};
use crate::loader::{DataPlace, DataSet, Loader};
use crate::recipe::Recipe;

mod checkpoint;
mod differences;
mod error;
mod events;
mod metrics;

pub use self::checkpoint::{latest, read, write};
pub use self::error::RunError;
pub use self::metrics::METRICS;

use self::metrics::Metrics;

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
    /// Share of the labelled images that their nearest neighbours classify, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn: Option<f64>,
}

/// A run between two steps.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    recipe: Recipe,
    options: RunOptions,
    learner: Learner,
    loader: Loader,
    metrics: Metrics,
    judge: Option<Judge>,
    steps: u64,
}

impl Run {
    /// Starts the run in `folder`, or goes on after its last checkpoint. A folder of another recipe is refused.
    pub fn open(
        folder: &Path,
        data: impl Into<DataPlace>,
        recipe: Recipe,
        options: RunOptions,
    ) -> Result<Self, RunError> {
        let data = std::sync::Arc::new(DataSet::open(data, recipe.masks)?);
        keep_recipe(folder, &recipe)?;
        let mut learner = recipe.learner(data.len(), options.device);
        if let Some(place) = latest(folder)? {
            learner
                .restore(&read(&place)?, options.device)
                .map_err(|source| RunError::Foreign { place, source })?;
        }
        let next = learner.step_number();
        let steps = recipe.steps(data.len());
        let metrics = Metrics::open(folder, next)?;
        let loader = Loader::start(data, recipe, next, options.loader_threads)?;
        Ok(Self {
            folder: folder.to_owned(),
            recipe,
            options,
            learner,
            loader,
            metrics,
            judge: None,
            steps,
        })
    }

    /// Judges the backbone every so many steps.
    #[must_use]
    pub fn judged_by(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
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
        let mut report = StepReport {
            step,
            logs,
            images_per_second: self.recipe.batch as f64 / seconds,
            waiting: waited / seconds,
            knn: None,
        };
        let done = step + 1;
        if let Some(judge) = self.judge.as_ref().filter(|it| it.is_due(done, self.steps)) {
            report.knn = Some(judge.accuracy(self.learner.online(), self.options.device)?);
        }
        self.metrics.note(step, &report)?;
        if done == self.steps || done.is_multiple_of(self.options.checkpoint_every.get()) {
            self.save()?;
        }
        Ok(Some(report))
    }

    /// Saves a checkpoint, and removes the oldest of more than are kept.
    pub fn save(&self) -> Result<PathBuf, RunError> {
        write(&self.folder, &self.learner, self.options.keep)
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
