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
use super::imports::{Phase, Progress};
use super::receive::unwritten;
use super::{BODY, Condition, Writer, not_elsewhere, staging};
use crate::models::ModelsError;

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
pub(crate) enum Payload {
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
pub(super) struct PendingImport {
    pub(super) directory: staging::UploadDirectory,
    pub(super) progress: Progress,
    pub(super) name: ModelName,
    pub(super) condition: Condition,
    pub(super) payload: Payload,
    pub(super) told: oneshot::Sender<Result<Stored, ModelsError>>,
}

/// Takes uploads one by one, once it is started.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) pending: mpsc::Receiver<PendingImport>,
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
            while let Some(pending) = self.pending.blocking_recv() {
                let Some(writer) = self.writer.upgrade() else {
                    break;
                };
                finish(pending, &writer);
            }
        };
        let thread = std::thread::Builder::new().name("imports".to_owned());
        thread.spawn(work).map(drop)
    }
}

fn finish(pending: PendingImport, writer: &Writer) {
    let installed = catch_unwind(AssertUnwindSafe(|| install(&pending, writer)));
    let installed = installed.unwrap_or(Err(ModelsError::Internal));
    let PendingImport {
        directory,
        progress,
        name,
        told,
        ..
    } = pending;
    drop(directory); // what was replaced is gone before anybody is told
    let (model, upload) = (name.as_str(), progress.id());
    let stored = match installed {
        Ok((stored, digest)) => {
            tracing::info!(model, digest, upload, "model stored");
            progress.reach(Phase::Done(digest));
            Ok(stored)
        }
        Err(problem) => {
            tracing::info!(model, reason = %problem, upload, "upload not stored");
            progress.fail(&problem);
            Err(problem)
        }
    };
    let _ = told.send(stored); // the client may be gone
}

/// Makes the model beside the others, checks it, puts it in its place and has it served; gives its digest too.
fn install(pending: &PendingImport, writer: &Writer) -> Result<(Stored, String), ModelsError> {
    let made = pending.directory.path().join(pending.name.as_str());
    let body = pending.directory.path().join(BODY);
    pending.progress.reach(Phase::Converting);
    make(&pending.payload, &body, &made, writer.limit)?;
    fs::remove_file(&body).map_err(|error| unwritten(&error))?;
    pending.progress.reach(Phase::Verifying);
    let directory = ModelDirectory::open(&made).map_err(not_a_model)?;
    listed(&directory)?;
    let failed = |reason| ModelsError::Invalid { reason };
    let serving = writer.serving()?;
    serving.check(&made).map_err(failed)?;

    let _held = writer.hold();
    let _turn = writer.remote.as_ref().map(|remote| remote.hold());
    let place = writer.place(&pending.name);
    let existing = pending.condition.holds(&writer.root, &pending.name)?;
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

fn make(payload: &Payload, body: &Path, made: &Path, limit: u64) -> Result<(), ModelsError> {
    match payload {
        Payload::Archive => {
            fs::create_dir(made).map_err(|error| unwritten(&error))?;
            let archive = File::open(body).map_err(|error| unwritten(&error))?;
            unpack(archive, made, limit).map_err(not_an_archive)
        }
        Payload::Checkpoint(options) => {
            let imported = import(&Location::File(body.to_owned()), made, options);
            imported.map(drop).map_err(not_imported)
        }
    }
}

/// Every file of the directory is one that the manifest lists.
fn listed(directory: &ModelDirectory) -> Result<(), ModelsError> {
    let heads = directory.path().join(file::HEADS_FOLDER);
    for folder in [directory.path(), &heads] {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| unwritten(&error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| unwritten(&error))?.path();
            let name = path.strip_prefix(directory.path()).unwrap_or(&path);
            let name = name.to_string_lossy();
            let known = name == file::MANIFEST || directory.manifest().files.contains_key(&*name);
            if !known && path != heads {
                let reason = format!("{name} is not among the files of its manifest");
                return Err(ModelsError::Invalid { reason });
            }
        }
    }
    Ok(())
}

/// Faults of the archive are the client's; others are the server's.
fn not_an_archive(error: ArchiveError) -> ModelsError {
    match error {
        ArchiveError::Write { source, .. } => unwritten(&source),
        error => invalid(&error),
    }
}

fn not_imported(error: ImportError) -> ModelsError {
    match error {
        ImportError::Write(WriteError::Stage(error)) => unstaged(error),
        ImportError::Write(WriteError::Io { source, .. })
        | ImportError::Fetch(FetchError::Io { source, .. }) => unwritten(&source),
        error => invalid(&error),
    }
}

fn not_a_model(error: ModelError) -> ModelsError {
    match error {
        ModelError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => {
            unwritten(&source)
        }
        error => invalid(&error),
    }
}

fn unstaged(error: StageError) -> ModelsError {
    match error {
        StageError::Io { source, .. } => unwritten(&source),
        StageError::Exists { place } => ModelsError::Exists {
            name: place
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into(),
        },
        StageError::NoName { .. } | StageError::Busy { .. } => ModelsError::Internal,
    }
}

fn invalid(error: &dyn std::error::Error) -> ModelsError {
    ModelsError::Invalid {
        reason: error.to_string(),
    }
}
