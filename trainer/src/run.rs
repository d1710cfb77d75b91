//! A run: steps, metrics and checkpoints in one folder, which goes on where it was when it is started again.
//!
//! ```text
//! RUN/recipe.toml                    every setting
//! RUN/run.json                       its images, and what its weights started from
//! RUN/metrics.jsonl                  one line a step
//! RUN/tensorboard/                   the same numbers for TensorBoard
//! RUN/checkpoints/00000120/          state.safetensors, state.json, model.safetensors, heads.safetensors
//! RUN/diagnosis/00000120/            the batch at which it stopped by itself
//! ```
//!
//! Of several ranks the first writes, and all read: the folder is one that all of them see.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use detcon_data::annotations::WithoutOutline;
use serde::Serialize;
use tch::Device;

use crate::distributed::{DistributedError, Group, Share};
use crate::judge::Judge;
use crate::learner::TrainingMode;
use crate::learner::{Learner, Logs};
use crate::loader::{DataPlace, DataSet, Loader};
use crate::recipe::Recipe;

mod checkpoint;
mod diagnosis;
mod differences;
mod error;
mod events;
mod folder;
mod init;
mod metrics;
mod saver;

use self::diagnosis::{Diagnosis, Physician};
use self::folder::{Data, RunFolder};
use self::metrics::Metrics;
use self::saver::Saver;

pub use self::checkpoint::{Snapshot, best, latest, list, read, write};
pub(crate) use self::checkpoint::{read_digested, step_of};
pub use self::diagnosis::Illness;
pub use self::error::RunError;
pub use self::metrics::METRICS;

/// What happens where a run goes on with other images than it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherData {
    /// It is refused.
    Refuse,
    /// It goes on with them, and remembers them.
    Accept,
}

/// How a run is begun and carried out. But for `init`, nothing here changes what it computes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Run or model directory whose weights a new run starts from.
    pub init: Option<PathBuf>,
    /// What happens where the images are others.
    pub other_data: OtherData,
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
    /// Damaged images that were passed over so far, of this rank's share.
    pub skipped: u64,
    /// Share of the labelled images that their nearest neighbours classify, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn: Option<f64>,
}

/// A run between two steps.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    /// Held while the run lives, by the rank that writes.
    _held: Option<RunFolder>,
    recipe: Recipe,
    options: RunOptions,
    group: Option<Arc<Group>>,
    learner: Learner,
    data: Arc<DataSet>,
    loader: Loader,
    /// None in ranks that do not write.
    metrics: Option<Metrics>,
    judge: Option<Judge>,
    saver: Saver,
    physician: Physician,
    /// Losses since the last checkpoint, and how many.
    losses: (f64, u32),
    warnings: Vec<String>,
    steps: u64,
}

impl Run {
    /// Starts the run in `folder`, or goes on after its last checkpoint. A folder of another recipe or of other data is
    /// refused, and one that another process is at.
    pub fn open(
        folder: &Path,
        data: impl Into<DataPlace>,
        recipe: Recipe,
        options: RunOptions,
    ) -> Result<Self, RunError> {
        Self::open_among(folder, data, recipe, options, None)
    }

    /// The same as one of the ranks of a group.
    pub fn open_among(
        folder: &Path,
        data: impl Into<DataPlace>,
        recipe: Recipe,
        options: RunOptions,
        group: Option<Arc<Group>>,
    ) -> Result<Self, RunError> {
        let share = group.as_ref().map_or(Share::WHOLE, |group| group.share());
        divide(&recipe, share)?;
        let data = Arc::new(DataSet::open(data, recipe.masks)?);
        check(&recipe, &data)?;
        let mut held = None;
        if share.leads() {
            let run = RunFolder::hold(folder)?;
            let init = options.init.as_deref();
            run.keep(&recipe, Data::of(&data), options.other_data, init)?;
            held = Some(run);
        }
        let mut learner = recipe.learner(data.len(), options.device);
        // A checkpoint stands above what a run is to start from.
        if let Some(place) = latest(folder)? {
            learner
                .restore(&read(&place)?, options.device)
                .map_err(|source| RunError::Foreign { place, source })?;
        } else if let Some(place) = &options.init {
            learner = init::from_weights(learner, place)?;
        }
        if let Some(group) = &group {
            learner = learner.among(Arc::clone(group));
        }
        let next = learner.step_number();
        let steps = recipe.steps(data.len());
        let metrics = share
            .leads()
            .then(|| Metrics::open(folder, next))
            .transpose()?;
        let loader = Loader::start(
            Arc::clone(&data),
            recipe,
            share,
            next,
            options.loader_threads,
        )?;
        let saver = Saver::new(folder.to_owned(), options.keep);
        Ok(Self {
            folder: folder.to_owned(),
            _held: held,
            recipe,
            options,
            group,
            learner,
            data,
            loader,
            metrics,
            judge: None,
            saver,
            physician: Physician::new(recipe.collapse),
            losses: (0.0, 0),
            warnings: Vec::new(),
            steps,
        })
    }

    /// Judges the backbone every so many steps. Only the first of several ranks does.
    #[must_use]
    pub fn judged_by(mut self, judge: Judge) -> Self {
        self.judge = self.share().leads().then_some(judge);
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

    /// Takes the next step; nothing where the run is over. A checkpoint that is due is written while the run goes on;
    /// the last one is waited for.
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
        let batch = batch.to_device(self.options.device);
        let (gradients, logs) = self.learner.gradients(&batch)?;
        if let Some(illness) = self.physician.illness(&logs) {
            let diagnosis = Diagnosis {
                learner: &self.learner,
                batch: &batch,
                gradients: &gradients,
                logs: &logs,
                illness,
            };
            return Err(RunError::Ill {
                step,
                illness,
                diagnosis: diagnosis.save(&self.folder, self.share().rank())?,
            });
        }
        self.learner.update(&gradients);
        let seconds = begin.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "batches are below 2^52")]
        let mut report = StepReport {
            step,
            logs,
            images_per_second: self.recipe.batch as f64 / seconds,
            waiting: waited / seconds,
            skipped: self.data.damaged_count(),
            knn: None,
        };
        let done = step + 1;
        let judge = self.judge.as_ref();
        if let Some(judge) = judge.filter(|judge| judge.is_due(done, self.steps)) {
            report.knn = Some(judge.accuracy(self.learner.online(), self.options.device)?);
        }
        self.note(&report);
        if done == self.steps {
            self.save()?;
        } else if done.is_multiple_of(self.options.checkpoint_every.get()) {
            self.begin_to_save()?;
        }
        if let Some(Err(error)) = self.saver.ended() {
            self.warn(&error);
        }
        Ok(Some(report))
    }

    /// Saves a checkpoint and waits for it; gives its place. Only the first of several ranks writes.
    pub fn save(&mut self) -> Result<PathBuf, RunError> {
        self.begin_to_save()?;
        let folder = self.folder.clone();
        self.saver.finish().unwrap_or(Ok(folder))
    }

    /// Whether any rank wishes something: all get the same answer.
    pub fn any(&self, wish: bool) -> Result<bool, RunError> {
        let Some(group) = &self.group else {
            return Ok(wish);
        };
        let wishes = group.average_of(&[f64::from(u8::from(wish))], self.options.device);
        group.check()?;
        Ok(wishes.iter().any(|&share| share > 0.0))
    }

    /// Whether this is the rank that writes.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.share().leads()
    }

    /// Ids of the annotations that nobody outlined, and what becomes of them.
    #[must_use]
    pub fn without_outline(&self) -> Option<(&[u64], WithoutOutline)> {
        self.data.without_outline()
    }

    /// The damaged images that were passed over since it was opened, of this rank's share, and what is wrong with each.
    #[must_use]
    pub fn damaged(&self) -> BTreeMap<u64, String> {
        self.data.damaged()
    }

    /// What went wrong since this was asked last without stopping the run: checkpoints and metrics that could not be
    /// written.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn share(&self) -> Share {
        self.group
            .as_ref()
            .map_or(Share::WHOLE, |group| group.share())
    }

    /// The score of a checkpoint is minus the mean loss since the one before.
    fn begin_to_save(&mut self) -> Result<(), RunError> {
        if !self.share().leads() {
            return Ok(());
        }
        let (sum, count) = std::mem::take(&mut self.losses);
        let score = (count > 0).then(|| -sum / f64::from(count));
        let snapshot = Snapshot::of(&self.learner, score)?;
        if let Some(Err(error)) = self.saver.begin(snapshot) {
            self.warn(&error);
        }
        Ok(())
    }

    fn warn(&mut self, error: &RunError) {
        let done = self.learner.step_number();
        let warning =
            format!("after step {done}: {error}; training goes on, what was saved before stays");
        self.warnings.push(warning);
    }

    fn note(&mut self, report: &StepReport) {
        self.losses.0 += report.logs.loss;
        self.losses.1 += 1;
        let Some(metrics) = &mut self.metrics else {
            return;
        };
        if let Err(error) = metrics.note(report.step, report) {
            self.warn(&error);
        }
    }
}

/// Refuses ranks that a batch cannot be divided by.
fn divide(recipe: &Recipe, share: Share) -> Result<(), DistributedError> {
    let (ranks, parts) = (share.size() as u64, u64::from(recipe.parts));
    if recipe.batch.is_multiple_of(ranks * parts) {
        return Ok(());
    }
    Err(DistributedError::Uneven {
        batch: recipe.batch,
        ranks,
        parts,
    })
}

/// Refuses settings that make no sense on these images.
fn check(recipe: &Recipe, data: &DataSet) -> Result<(), RunError> {
    if recipe.steps(data.len()) == 0 {
        return Err(RunError::NoSteps {
            duration: recipe.duration,
            images: data.len(),
            batch: recipe.batch,
        });
    }
    recipe.check_on(data.len())?;
    match recipe.training_mode {
        TrainingMode::Supervised | TrainingMode::Both if !data.has_classes() => {
            Err(RunError::NoClasses)
        }
        TrainingMode::SelfSupervised | TrainingMode::Supervised | TrainingMode::Both => Ok(()),
    }
}
