//! Why a run stops.

use std::path::{Path, PathBuf};

use detcon_core::checkpoint::FileError;
use detcon_core::files::StageError;

use super::Illness;
use crate::distributed::DistributedError;
use crate::judge::JudgeError;
use crate::loader::LoaderError;
use crate::network::NetworkError;
use crate::recipe::{RecipeError, Span};

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No batches.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// No judgement.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// No recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The folder is of another run.
    #[error(
        "{} was started with another recipe ({}): start a run elsewhere, or give the same recipe",
        folder.display(),
        differences.join("; ")
    )]
    OtherRecipe {
        /// The run's folder.
        folder: PathBuf,
        /// Key, old and new value of each difference.
        differences: Vec<String>,
    },
    /// Another process is at the run.
    #[error("{} is in use by {holder}: wait until it ends, or give another --run", folder.display())]
    Held {
        /// The run's folder.
        folder: PathBuf,
        /// The process.
        holder: String,
    },
    /// The run learned from other images.
    #[error(
        "{} learned from {images} images, and these are {found} or others: give the same --data, or go on with them all \
         the same (--other-data)",
        folder.display()
    )]
    OtherData {
        /// The run's folder.
        folder: PathBuf,
        /// Images that it has learned from.
        images: u64,
        /// Images that were given.
        found: u64,
    },
    /// The run is of a version that cropped views otherwise.
    #[error(
        "{0} is a run of an older version, whose views were cropped otherwise: begin anew from its weights, with \
         --init {0} and another --run",
        folder.display()
    )]
    OlderFormat {
        /// The run's folder.
        folder: PathBuf,
    },
    /// Nothing to do.
    #[error(
        "{duration} of {images} images in batches of {batch} are 0 steps: give a smaller batch (--set batch=…) or a \
         longer duration (--set duration.steps=…)"
    )]
    NoSteps {
        /// The recipe's duration.
        duration: Span,
        /// Images of the data set.
        images: u64,
        /// Images of a step.
        batch: u64,
    },
    /// Labels are to teach, and there are none.
    #[error("training_mode is not self-supervised, and the images in --data have no classes")]
    NoClasses,
    /// The weights to start from cannot be used.
    #[error("--init {}: {reason}", place.display())]
    Init {
        /// What was given.
        place: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error("{}: {reason}: remove this checkpoint to go on from the one before", place.display())]
    Damaged {
        /// The checkpoint.
        place: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint is of another network.
    #[error("{}: {source}", place.display())]
    Foreign {
        /// The checkpoint.
        place: PathBuf,
        /// What does not fit.
        source: NetworkError,
    },
    /// The network's tensors do not make a checkpoint.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Tensors cannot be written.
    #[error(transparent)]
    Tensors(#[from] FileError),
    /// A checkpoint cannot be put in its place.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The run stopped by itself, and wrote down why.
    #[error("step {step}: {illness}; the batch and more are in {}", diagnosis.display())]
    Ill {
        /// The step.
        step: u64,
        /// What is wrong.
        illness: Illness,
        /// Where that is written down.
        diagnosis: PathBuf,
    },
    /// A rank is gone.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// The thread that saves has failed.
    #[error("a checkpoint could not be written: the thread that writes it has stopped")]
    Saver,
}

impl RunError {
    pub(super) fn damaged(place: &Path, reason: String) -> Self {
        Self::Damaged {
            place: place.to_owned(),
            reason,
        }
    }

    pub(super) fn file(path: &Path, cause: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            cause,
        }
    }
}
