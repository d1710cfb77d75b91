//! The folder of models: which files are in it, and how models come into it and go.
//!
//! A model is made or unpacked in a folder that nothing lists, held against its manifest and its self-check, and
//! put in its place by one rename; it goes by one rename too. A process that is killed at any moment leaves every
//! model whole, the old one or the new one.

mod archive;
mod condition;
mod imports;
mod install;
mod linked;
mod pinned;
mod receive;
mod remote;
mod served;
mod staging;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use detcon_core::model::{ModelError, ModelName};
use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub(crate) use condition::Condition;
pub(crate) use imports::{Imports, Phase, Record};
pub(crate) use install::{Payload, Serving, Stored, Worker};
pub(crate) use pinned::{Pinned, PinnedFile};
pub(crate) use remote::{Remote, RemoteError, provide_tls};

use crate::models::ModelsError;
use install::PendingImport;
use linked::Linked;
use receive::{receive, unwritten};
use staging::Staging;

/// Uploads that arrive at the same time.
const MAX_RECEIVING: usize = 4;
/// Uploads that wait to be made models of.
const MAX_WAITING: usize = 16;
/// When there should be room for another upload.
const RETRY: Duration = Duration::from_secs(30);
/// What the body of an upload is called in the upload's directory: no name of a model has a dot in front.
const BODY: &str = ".body";

/// The folder of models.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// What is known of files behind links.
    linked: Arc<Linked>,
    writer: Option<Arc<Writer>>,
}

/// The right to change the store, and what that takes.
pub(crate) struct Writer {
    root: PathBuf,
    staging: Staging,
    /// The store elsewhere that the folder is kept in step with, if any.
    remote: Option<Arc<Remote>>,
    /// Longest upload, in bytes.
    limit: u64,
    receiving: Semaphore,
    imports: Arc<Imports>,
    queue: mpsc::Sender<PendingImport>,
    /// Held while models come and go.
    changes: Mutex<()>,
    serving: OnceLock<Box<dyn Serving>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Writer");
        shown.field("root", &self.root).finish_non_exhaustive()
    }
}

/// An upload before its body.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Name of the model that it is to become.
    pub(crate) name: ModelName,
    /// What must be in the store for it.
    pub(crate) condition: Condition,
    /// What the body is.
    pub(crate) payload: Payload,
    /// What its SHA-256 must be.
    pub(crate) sha256: Option<String>,
    /// Its length, where the client says it.
    pub(crate) announced: Option<u64>,
}

/// An upload that has arrived and waits to be made a model of.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its record's id.
    pub(crate) id: String,
    /// What becomes of it.
    pub(crate) stored: oneshot::Receiver<Result<Stored, ModelsError>>,
}

impl Store {
    /// The models in `root`, which stay as they are.
    pub(crate) fn read_only(root: PathBuf) -> Self {
        Self::new(root, None)
    }

    fn new(root: PathBuf, writer: Option<Arc<Writer>>) -> Self {
        let linked = Arc::default();
        Self {
            root,
            linked,
            writer,
        }
    }

    /// The models in `root`, and whoever takes uploads to it, and to the store that it is kept in step with.
    pub(crate) fn writable(
        root: PathBuf,
        remote: Option<Arc<Remote>>,
        limit: u64,
    ) -> io::Result<(Self, Worker)> {
        let (queue, pending) = mpsc::channel(MAX_WAITING);
        let writer = Arc::new(Writer {
            staging: Staging::open(&root)?,
            root: root.clone(),
            remote,
            limit,
            receiving: Semaphore::new(MAX_RECEIVING),
            imports: Arc::default(),
            queue,
            changes: Mutex::new(()),
            serving: OnceLock::new(),
        });
        let worker = Worker {
            pending,
            writer: Arc::downgrade(&writer),
        };
        Ok((Self::new(root, Some(writer)), worker))
    }

    /// Names of the models in it, served or not.
    pub(crate) fn names(&self) -> Result<Vec<String>, ModelError> {
        let directories = detcon_core::model::list(&self.root)?;
        let names = directories.iter().filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    /// The directory of a model as it is now.
    pub(crate) fn pin(&self, name: &ModelName) -> Result<Pinned, ModelsError> {
        Pinned::open(&self.root, name, Arc::clone(&self.linked))
    }

    /// The right to change it: the only way to, so the one place that says no where uploads are off.
    pub(crate) fn writer(&self) -> Result<&Arc<Writer>, ModelsError> {
        self.writer.as_ref().ok_or(ModelsError::UploadsOff)
    }

    /// What became of uploads.
    pub(crate) fn imports(&self) -> Result<&Imports, ModelsError> {
        self.writer().map(|writer| &*writer.imports)
    }
}

impl Writer {
    /// Takes an upload's body in and queues it.
    pub(crate) async fn take<E: From<ModelsError> + fmt::Display>(
        &self,
        upload: Upload,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Accepted, E> {
        let full = || ModelsError::Busy { retry_after: RETRY };
        let _receiving = self.receiving.try_acquire().map_err(|_| full())?;
        let place = self.queue.try_reserve().map_err(|_| full())?;
        upload.condition.holds(&self.root, &upload.name)?;
        let limit = self.limit;
        if upload.announced.is_some_and(|bytes| bytes > limit) {
            return Err(ModelsError::UploadTooLarge { limit }.into());
        }
        let directory = self.staging.upload().map_err(|error| unwritten(&error))?;
        let file = File::create_new(directory.path().join(BODY));
        let file = file.map_err(|error| unwritten(&error))?;
        let name = upload.name.as_str();
        let progress = self.imports.start(directory.id(), name, upload.announced);
        let found = receive(body, file, limit, &progress).await;
        let found = found.inspect_err(|error| progress.fail(error))?;
        if let Some(expected) = upload.sha256.filter(|expected| *expected != found) {
            let error = ModelsError::DigestMismatch { expected, found };
            progress.fail(&error);
            return Err(error.into());
        }
        progress.reach(Phase::Queued);
        let (told, stored) = oneshot::channel();
        let id = progress.id().to_owned();
        place.send(PendingImport {
            directory,
            progress,
            name: upload.name,
            condition: upload.condition,
            payload: upload.payload,
            told,
        });
        Ok(Accepted { id, stored })
    }

    /// Removes a model, if it meets `condition`, and serves it no longer. Blocks.
    pub(crate) fn remove(
        &self,
        name: &ModelName,
        condition: &Condition,
    ) -> Result<(), ModelsError> {
        let _held = self.hold();
        let place = self.existing(name)?;
        let _turn = self.remote.as_ref().map(|remote| remote.hold());
        condition.holds(&self.root, name)?;
        let elsewhere = self
            .remote
            .as_ref()
            .map_or(Ok(()), |remote| remote.delete(name));
        elsewhere.map_err(|error| not_elsewhere(&error))?;
        let serving = self.serving()?;
        let directory = self.staging.upload().map_err(|error| unwritten(&error))?;
        let moved = fs::rename(&place, directory.path().join(name.as_str()));
        moved.map_err(|error| unwritten(&error))?;
        // After it has gone: whoever is loading it cannot have begun later.
        serving.unload(name.as_str());
        sync(&self.root).map_err(|error| unwritten(&error))
    }

    /// Serves a model that is in the store. Blocks until it is decided about.
    pub(crate) fn load(&self, name: &ModelName) -> Result<(), ModelsError> {
        let _held = self.hold();
        let place = self.existing(name)?;
        self.serving()?.load(&place);
        Ok(())
    }

    /// Serves a model no longer, and leaves it in the store. Blocks.
    pub(crate) fn unload(&self, name: &ModelName) -> Result<(), ModelsError> {
        let _held = self.hold();
        self.existing(name)?;
        self.serving()?.unload(name.as_str());
        Ok(())
    }

    /// Keeps others from changing the store.
    fn hold(&self) -> MutexGuard<'_, ()> {
        // What a holder that panicked left half-done is on the disk or nowhere.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served_by(&self, serving: Box<dyn Serving>) {
        let first = self.serving.set(serving);
        debug_assert!(first.is_ok(), "a store has one worker");
    }

    /// Who serves its models: there from the start of the worker on.
    fn serving(&self) -> Result<&dyn Serving, ModelsError> {
        self.serving
            .get()
            .map(AsRef::as_ref)
            .ok_or(ModelsError::Internal)
    }

    /// Where a model is that must be there. One that cannot be looked at is there.
    fn existing(&self, name: &ModelName) -> Result<PathBuf, ModelsError> {
        let place = self.place(name);
        let there = match fs::metadata(&place) {
            Ok(found) => found.is_dir(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        let unknown = || ModelsError::Unknown {
            name: name.to_string(),
        };
        there.then_some(place).ok_or_else(unknown)
    }

    /// Where a model is.
    pub(crate) fn place(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.as_str())
    }
}

/// The store elsewhere did not take a change: what is served stays as it was.
fn not_elsewhere(error: &RemoteError) -> ModelsError {
    tracing::error!(%error, "the store elsewhere was not changed");
    ModelsError::StoreUnreachable
}

/// Puts a directory's names on the disk.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Unpacks an archive into a folder of its own.
#[cfg(fuzzing)]
pub(crate) fn fuzz_archive(bytes: &[u8]) {
    use std::io::{Seek as _, Write as _};

    const LIMIT: u64 = 1 << 20;
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("it can be written");
    file.rewind().expect("it can be read again");
    let place = tempfile::tempdir().expect("a temporary folder");
    let _ = archive::unpack(file, place.path(), LIMIT);
    let files = std::fs::read_dir(place.path()).expect("it is still there");
    let files = files.map(|file| file.and_then(|file| file.metadata()).expect("a file"));
    assert!(files.map(|file| file.len()).sum::<u64>() <= LIMIT);
}

#[cfg(test)]
mod tests;
