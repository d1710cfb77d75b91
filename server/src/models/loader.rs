//! Who loads models: those that are there at the start, and then those that the watch of the store tells of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::watch;

use super::registry::{Loaded, Moment, Registry};
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
                self.bring(&directory, &mut watch);
            }
            self.registry.started();
            let _ = loaded.send(true); // the server may be gone already
            while !every.is_zero() && stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout)
            {
                let noticed = self.registry.now();
                if let Some(Err(error)) = self.remote.as_ref().map(|remote| remote.sync()) {
                    tracing::warn!(%error, "models elsewhere not looked at; those that are served stay");
                }
                self.follow(&mut watch, noticed);
            }
        });
        receiver
    }

    fn follow(&self, watch: &mut Watch, noticed: Moment) {
        for change in watch.look() {
            match change {
                Change::Load(directory) => self.load(&directory, noticed, watch),
                Change::Remove(name) => self.registry.remove_gone(&name, noticed),
            }
        }
        self.registry.unload_retired();
    }

    /// Loads a model that was there at the start, and has to be fetched first where the store is elsewhere. One that
    /// cannot be is refused, unless the cache has it as it was.
    fn bring(&self, directory: &Path, watch: &mut Watch) {
        let (remote, start) = (self.remote.as_ref(), Moment::default());
        match remote.map_or(Ok(()), |remote| remote.bring(directory)) {
            Err(error) if !directory.is_dir() => {
                return self.registry.refuse(directory, &error, start);
            }
            Err(error) => {
                tracing::warn!(path = %directory.display(), %error, "model not fetched: the cache's is served");
            }
            Ok(()) => {}
        }
        self.load(directory, start, watch);
    }

    /// What could not be read is tried again at the next look.
    fn load(&self, directory: &Path, noticed: Moment, watch: &mut Watch) {
        match self.registry.load(directory, noticed) {
            Loaded::Decided => {}
            Loaded::Unread => watch.forget(directory),
        }
    }
}
