//! Who loads models: those that are there at the start, and then those that the watch of the store tells of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::watch;

use super::registry::Registry;
use super::store::Remote;
use super::watch::{Change, Watch};

/// Loads models, one after the other.
#[derive(Debug)]
pub(crate) struct Loader {
    /// Where they are served.
    pub(crate) registry: Arc<Registry>,
    /// Where they are fetched from, where the store is elsewhere.
    pub(crate) remote: Option<Arc<Remote>>,
}

impl Loader {
    /// Loads the models in `directories` on a thread of its own, and then looks at `store` for others `every` so often
    /// (never, where that is zero), until `stopped`. What it gives tells when the first are decided about.
    pub(crate) fn start(
        self,
        store: PathBuf,
        directories: Vec<PathBuf>,
        every: Duration,
        stopped: mpsc::Receiver<()>,
    ) -> watch::Receiver<bool> {
        let (loaded, receiver) = watch::channel(false);
        tokio::task::spawn_blocking(move || {
            let mut watch = Watch::new(store);
            for directory in directories {
                self.bring(&directory);
            }
            self.registry.started();
            let _ = loaded.send(true); // the server may be gone already
            while !every.is_zero() && stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout)
            {
                if let Some(Err(error)) = self.remote.as_ref().map(|remote| remote.sync()) {
                    tracing::warn!(%error, "models elsewhere not looked at; those that are served stay");
                }
                self.follow(watch.look());
            }
        });
        receiver
    }

    fn follow(&self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Load(directory) => self.registry.load(&directory),
                Change::Remove(name) => self.registry.remove(&name),
            }
        }
        self.registry.unload_retired();
    }

    /// Loads a model that has to be fetched first where the store is elsewhere. One that cannot be is refused, unless
    /// the cache has it as it was.
    fn bring(&self, directory: &Path) {
        let remote = self.remote.as_ref();
        match remote.map_or(Ok(()), |remote| remote.bring(directory)) {
            Err(error) if !directory.is_dir() => return self.registry.refuse(directory, &error),
            Err(error) => {
                tracing::warn!(path = %directory.display(), %error, "model not fetched: the cache's is served");
            }
            Ok(()) => {}
        }
        self.registry.load(directory);
    }
}
