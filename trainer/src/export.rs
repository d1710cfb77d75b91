//! A checkpoint of a run in, a model directory out: weights, heads, graphs, self-check, and where it came from.
//!
//! The converter writes the directory, whole or not at all. Its ledger accounts for every tensor of the checkpoint: those
//! of the network that is exported, and the others with the reason why they stay behind.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_converter::{Model, ModelWriter};
use detcon_core::checkpoint::{
    Checkpoint, Fitted, MovingAverages, SourceArray, SourceTensor, Tensor,
};
use detcon_core::digest::sha256;
use detcon_core::files::Existing;
use detcon_core::model::{Source, Training};
use detcon_core::names::{Destination, Transform};
use tch::Device;

use crate::learner::{Learner, State, part};
use crate::network::{Network, Role, Row, table};
use crate::recipe::Recipe;
use crate::run::{RunError, best, list, read_digested, step_of};

mod error;

pub use self::error::ExportError;

/// Which checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After so many steps.
    Step(u64),
    /// The one of the highest score.
    Best,
    /// The newest.
    Last,
}

/// Which of the two networks that DetCon-B trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The one that learns by gradients, which the published checkpoints hold.
    Online,
    /// The one that follows it.
    Target,
}

impl Weights {
    const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Target => "target",
        }
    }

    fn of(self, learner: &Learner) -> Result<&Network, ExportError> {
        match self {
            Self::Online => Ok(learner.online()),
            Self::Target => learner.target().ok_or(ExportError::NoTarget),
        }
    }
}

/// What to export, and whether over what is there.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The checkpoint.
    pub at: At,
    /// The network.
    pub weights: Weights,
    /// Whether a directory that is there may be replaced.
    pub existing: Existing,
    /// SPDX identifier of the weights' licence, where it is known.
    pub license: Option<String>,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// What the manifest says of the run.
    pub training: Training,
    /// Parameters of the backbone.
    pub backbone: usize,
    /// Tensors of projector, predictor and classifier.
    pub heads: usize,
}

/// Makes a model directory at `place` of a checkpoint of the run in the folder `run`.
pub fn export(run: &Path, place: &Path, options: &ExportOptions) -> Result<Exported, ExportError> {
    let recipe_file = run.join("recipe.toml");
    let settings = fs::read(&recipe_file).map_err(|cause| ExportError::NoRun {
        run: run.to_owned(),
        cause,
    })?;
    let recipe = Recipe::read(&recipe_file, &[])?;
    let checkpoint = find(run, options.at)?;
    // Before the work: a place that is taken is known at once.
    let writer = ModelWriter::new(place, options.existing)?;
    let (state, digest) = read_intact(run, &checkpoint)?;
    let learner = restored(&recipe, &state, &checkpoint)?;
    let Fitted {
        checkpoint: backbone,
        heads,
        ledger,
    } = fit(options.weights.of(&learner)?, options.weights, &state)?;
    let training = Training {
        run: name_of(run),
        method: recipe.method.name().to_owned(),
        network: options.weights.name().to_owned(),
        recipe_sha256: sha256(&settings),
        steps: state.step,
        images_seen: state.step * recipe.batch,
        seed: recipe.seed,
        image_size: recipe.image_size,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let exported = Exported {
        training: training.clone(),
        backbone: ledger.backbone.len(),
        heads: ledger.heads.len(),
        checkpoint: checkpoint.clone(),
    };
    writer.finish(&Model {
        checkpoint: backbone,
        heads,
        ledger: Some(ledger),
        source: Source {
            uri: checkpoint.display().to_string(),
            sha256: Some(digest),
            layout: format!("a run's checkpoint, {} network", options.weights.name()),
        },
        training: Some(training),
        license: options.license.clone(),
    })?;
    Ok(exported)
}

/// The state that a checkpoint holds, and its digest. Where it is damaged, the error names the run's others.
fn read_intact(run: &Path, checkpoint: &Path) -> Result<(State, String), ExportError> {
    read_digested(checkpoint).map_err(|error| match error {
        RunError::Damaged { place, reason } => ExportError::Damaged {
            others: steps(run)
                .into_iter()
                .filter(|&step| Some(step) != step_of(&place))
                .collect(),
            place,
            reason,
        },
        other => other.into(),
    })
}

/// The run as it was. Schedules take the number of images, networks do not.
fn restored(recipe: &Recipe, state: &State, checkpoint: &Path) -> Result<Learner, RunError> {
    let mut learner = recipe.learner(recipe.batch, Device::Cpu);
    let restored = learner.restore(state, Device::Cpu);
    restored.map_err(|source| RunError::Foreign {
        place: checkpoint.to_owned(),
        source,
    })?;
    Ok(learner)
}

/// The folder's name, also where it is given as `.`.
fn name_of(run: &Path) -> String {
    let whole = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn find(run: &Path, at: At) -> Result<PathBuf, ExportError> {
    let there = list(run)?;
    let Some(last) = there.last() else {
        return Err(ExportError::Nothing {
            run: run.to_owned(),
        });
    };
    match at {
        At::Last => Ok(last.clone()),
        At::Best => best(run)?.ok_or_else(|| ExportError::Unscored {
            run: run.to_owned(),
            steps: steps(run),
        }),
        At::Step(step) => {
            let found = there.iter().find(|place| step_of(place) == Some(step));
            found.cloned().ok_or_else(|| ExportError::NoSuchStep {
                run: run.to_owned(),
                step,
                steps: steps(run),
            })
        }
    }
}

/// The steps of a run's checkpoints.
fn steps(run: &Path) -> Vec<u64> {
    let places = list(run).unwrap_or_default();
    places.iter().filter_map(|place| step_of(place)).collect()
}

/// A tensor of the state: the network's own as inference takes it, or one that is not taken.
enum Given {
    Taken(Tensor),
    Left(Vec<usize>),
}

impl SourceArray for Given {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Taken(tensor) => tensor.shape(),
            Self::Left(shape) => shape,
        }
    }

    fn to_f32(&self) -> Result<Vec<f32>, String> {
        match self {
            Self::Taken(tensor) => Ok(tensor.values().to_vec()),
            Self::Left(_) => Err("it stays behind".to_owned()),
        }
    }
}

/// The network's tensors in their places, and every other tensor of the state set aside.
fn fit(network: &Network, weights: Weights, state: &State) -> Result<Fitted, ExportError> {
    let own = match weights {
        Weights::Online => part::ONLINE,
        Weights::Target => part::TARGET,
    };
    let heads = network.heads();
    let backbone = network.spec().params().len();
    let rows = table(network.spec(), &heads).into_iter().enumerate();
    let taken = rows.map(|(number, Row { name, role, .. })| SourceTensor {
        // The state keeps the sum from which an average is computed.
        key: match role {
            Role::Average => format!("{own}{name} without the bias of its start at 0"),
            Role::Weight { .. } | Role::Bias | Role::Scale | Role::LastScale | Role::Offset => {
                format!("{own}{name}")
            }
        },
        array: Given::Taken(network.stored(&name)),
        destination: destination(name, number < backbone),
    });
    let left = state
        .tensors
        .iter()
        .filter(|(name, _)| !name.starts_with(own));
    let left = left.map(|(name, kept)| SourceTensor {
        key: name.clone(),
        array: Given::Left(kept.tensor.shape().to_vec()),
        destination: Destination::SetAside {
            reason: if name.starts_with(part::OPTIMIZER) {
                "the optimizer's memory"
            } else {
                "the other network"
            }
            .to_owned(),
        },
    });
    Ok(Checkpoint::fit(
        network.spec(),
        taken.chain(left).collect(),
        MovingAverages::Required,
    )?)
}

/// The backbone's rows come first in the table.
fn destination(name: String, in_backbone: bool) -> Destination {
    let transform = Transform::Identity;
    if in_backbone {
        Destination::Backbone { name, transform }
    } else {
        Destination::Head { name, transform }
    }
}
