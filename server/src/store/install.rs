//! From an upload to a model in the store, one at a time: a conversion takes as much memory as the checkpoint and
//! its graphs.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Weak;

use detcon_converter::WriteError;
use detcon_converter::fetch::FetchError;
use detcon_converter::import::{ImportError, ImportOptions, import};
use detcon_converter::location::Location;
use detcon_core::files::{Existing, StageError, put};
use detcon_core::model::{ModelDirectory, ModelError, ModelName, file};
use tokio::sync::{mpsc, oneshot};

use super::archive::{ArchiveError, unpack};
use super::imports::{Phase, Ticket};
use super::receive::unwritten;
use super::{BODY, Condition, Writer, not_elsewhere, staging};
use crate::problem::Problem;

/// Who serves the models of the store.
pub(crate) trait Serving: Send + Sync {
    /// Holds the engine of the model at `path` against its self-check, without serving it; the reason where it
    /// cannot be served.
    fn check(&self, path: &Path) -> Result<(), String>;

    /// Serves the model at `path` instead of the one that had its name before, if any.
    fn load(&self, path: &Path);

    /// Serves the model of this name no longer. Requests that have it are answered.
    fn unload(&self, name: &str);
}

/// What the body of an upload is.
#[derive(Debug)]
pub(crate) enum Form {
    /// A model directory's files in a tar archive.
    Archive,
    /// A checkpoint to convert.
    Checkpoint(Box<ImportOptions>),
}

/// A model that is in the store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// There was none of its name.
    New,
    /// It took another's place, if there was one.
    Replaced,
}

/// An upload that has arrived.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) directory: staging::Upload,
    pub(super) ticket: Ticket,
    pub(super) name: ModelName,
    pub(super) condition: Condition,
    pub(super) form: Form,
    pub(super) told: oneshot::Sender<Result<Stored, Problem>>,
}

/// Takes uploads one by one, once it is started.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) writer: Weak<Writer>,
}

impl Worker {
    /// Starts to work, until the store is gone. The thread is one of its own, since a process that ends does not
    /// wait for it: what it leaves is cleared at the next start.
    pub(crate) fn start(mut self, serving: impl Serving + 'static) -> io::Result<()> {
        if let Some(writer) = self.writer.upgrade() {
            writer.served_by(Box::new(serving));
        }
        let work = move || {
            while let Some(job) = self.jobs.blocking_recv() {
                let Some(writer) = self.writer.upgrade() else {
                    break;
                };
                finish(job, &writer);
            }
        };
        let thread = std::thread::Builder::new().name("imports".to_owned());
        thread.spawn(work).map(drop)
    }
}

fn finish(job: Job, writer: &Writer) {
    let installed = catch_unwind(AssertUnwindSafe(|| install(&job, writer)));
    let installed = installed.unwrap_or(Err(Problem::Internal));
    let Job {
        directory,
        ticket,
        name,
        told,
        ..
    } = job;
    drop(directory); // what was replaced is gone before anybody is told
    let (model, upload) = (name.as_str(), ticket.id());
    let stored = match installed {
        Ok((stored, digest)) => {
            tracing::info!(model, digest, upload, "model stored");
            ticket.reach(Phase::Done(digest));
            Ok(stored)
        }
        Err(problem) => {
            tracing::info!(model, reason = %problem, upload, "upload not stored");
            ticket.fail(&problem);
            Err(problem)
        }
    };
    let _ = told.send(stored); // the client may be gone
}

/// Makes the model beside the others, checks it, puts it in its place and has it served; gives its digest too.
fn install(job: &Job, writer: &Writer) -> Result<(Stored, String), Problem> {
    let made = job.directory.path().join(job.name.as_str());
    let body = job.directory.path().join(BODY);
    job.ticket.reach(Phase::Converting);
    make(&job.form, &body, &made, writer.limits.bytes)?;
    fs::remove_file(&body).map_err(|error| unwritten(&error))?;
    job.ticket.reach(Phase::Verifying);
    let directory = ModelDirectory::open(&made).map_err(not_a_model)?;
    listed(&directory)?;
    let failed = |reason| Problem::ModelInvalid { reason };
    let serving = writer.serving()?;
    serving.check(&made).map_err(failed)?;

    let _held = writer.hold();
    let _turn = writer.remote.as_ref().map(|remote| remote.hold());
    let place = writer.place(&job.name);
    let existing = job.condition.holds(&writer.root, &job.name)?;
    let stored = match existing {
        Existing::Keep => Stored::New,
        Existing::Replace => Stored::Replaced,
    };
    if let Some(remote) = &writer.remote {
        let pushed = remote.push(&directory);
        pushed.map_err(|error| not_elsewhere(&error))?;
    }
    put(&made, &place, existing).map_err(unstaged)?;
    serving.load(&place);
    Ok((stored, directory.digest().to_owned()))
}

fn make(form: &Form, body: &Path, made: &Path, limit: u64) -> Result<(), Problem> {
    match form {
        Form::Archive => {
            fs::create_dir(made).map_err(|error| unwritten(&error))?;
            let archive = File::open(body).map_err(|error| unwritten(&error))?;
            unpack(archive, made, limit).map_err(not_an_archive)
        }
        Form::Checkpoint(options) => {
            let imported = import(&Location::File(body.to_owned()), made, options);
            imported.map(drop).map_err(not_imported)
        }
    }
}

/// Every file of the directory is one that the manifest lists.
fn listed(directory: &ModelDirectory) -> Result<(), Problem> {
    for entry in fs::read_dir(directory.path()).map_err(|error| unwritten(&error))? {
        let name = entry.map_err(|error| unwritten(&error))?.file_name();
        let name = name.to_string_lossy();
        if name != file::MANIFEST && !directory.manifest().files.contains_key(&*name) {
            let reason = format!("{name} is not among the files of its manifest");
            return Err(Problem::ModelInvalid { reason });
        }
    }
    Ok(())
}

/// Faults of the archive are the client's; others are the server's.
fn not_an_archive(error: ArchiveError) -> Problem {
    match error {
        ArchiveError::Write { source, .. } => unwritten(&source),
        error => invalid(&error),
    }
}

fn not_imported(error: ImportError) -> Problem {
    match error {
        ImportError::Write(WriteError::Stage(error)) => unstaged(error),
        ImportError::Write(WriteError::Io { source, .. })
        | ImportError::Fetch(FetchError::Io { source, .. }) => unwritten(&source),
        error => invalid(&error),
    }
}

fn not_a_model(error: ModelError) -> Problem {
    match error {
        ModelError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => {
            unwritten(&source)
        }
        error => invalid(&error),
    }
}

fn unstaged(error: StageError) -> Problem {
    match error {
        StageError::Io { source, .. } => unwritten(&source),
        StageError::Exists { place } => Problem::ModelExists {
            name: place
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into(),
        },
        StageError::NoName { .. } | StageError::Busy { .. } => Problem::Internal,
    }
}

fn invalid(error: &dyn std::error::Error) -> Problem {
    Problem::ModelInvalid {
        reason: error.to_string(),
    }
}
