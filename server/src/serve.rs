//! The server's life: bind, load in the background, serve, drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use detcon_core::model::list;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::app::{App, router};
use crate::batch::BatchLimits;
use crate::budget::{Budget, Turns};
use crate::config::{Config, ModelArguments};
use crate::connections::{self, Waits};
use crate::engine::{EngineError, Runtime};
use crate::fetch::Fetcher;
use crate::input::{BodyMemory, Limits};
use crate::pipeline::Pipeline;
use crate::playground::Playground;
use crate::protect::tls::{self, TlsError};
use crate::protect::{Gate, KeysError, Protection};
use crate::registry::watch::{Change, Watch};
use crate::registry::{EngineOptions, Example, Registry, StoreError};
use crate::store::{ReceiveLimits, Remote, RemoteError, Served, Store, Worker};

/// What the program prints before its address, once it can be reached.
pub const GREETING: &str = "detcon-server listens on ";

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be served from.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store elsewhere cannot be used, and the cache has nothing of it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// ONNX Runtime could not be loaded.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The API keys could not be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate or its key could not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address could not be bound.
    #[error("{address} could not be bound: {source}; give another with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be written to.
    #[error("uploads cannot be taken: {0}; make --models writable, or leave --allow-uploads out")]
    Uploads(#[source] io::Error),
    /// An engine did not end well.
    #[error("an engine did not end well: {0}")]
    End(#[source] tokio::task::JoinError),
}

/// A server that has its address and loads its models.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    remote: Option<Arc<Remote>>,
    loaded: watch::Receiver<bool>,
    waits: Waits,
    delay: Duration,
    tls: Option<Arc<ServerConfig>>,
    /// Ends the watch of the store when it goes.
    watching: mpsc::Sender<()>,
}

impl Server {
    /// Loads ONNX Runtime, binds the address, and starts to fetch and load the models, one after the
    /// other.
    pub async fn start(config: &Config) -> Result<Self, ServeError> {
        let runtime = Runtime::load(&config.engine.library())?;
        Self::start_with(config, runtime).await
    }

    /// The same with ONNX Runtime loaded already, which a process can do once.
    pub async fn start_with(config: &Config, runtime: Runtime) -> Result<Self, ServeError> {
        let mut config = config.clone();
        let remote = connect(&mut config.models).await?;
        let config = &config;
        let directories = match &remote {
            Some((_, directories)) => directories.clone(),
            None => list(&config.models.models).map_err(StoreError::from)?,
        };
        let remote = remote.map(|(remote, _)| remote);
        let registry = Registry::open(&directories, config.models.default_model.clone())?;
        let protect = &config.protect;
        let protection = Protection {
            gate: Gate::open(protect.api_keys.clone())?,
            origins: protect.cors_origin.clone(),
            playground: if protect.no_playground {
                Playground::Hidden
            } else {
                Playground::Served
            },
        };
        let tls = match (&protect.tls_cert, &protect.tls_key) {
            (Some(cert), Some(key)) => Some(tls::config(cert, key)?),
            _ => None,
        };
        let address = config.listen.listen;
        let bind = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let limits = Limits {
            bytes: config.limits.max_body_bytes,
            images: config.limits.max_images.get(),
            timeout: config.limits.timeout(),
            memory: BodyMemory::new(config.limits.body_memory.max(config.limits.max_body_bytes)),
            fetcher: Fetcher::new(protect.allow_url.clone(), protect.allow_private_addresses),
        };
        let budget = Budget::of(&config.engine);
        let pipeline = Pipeline::new(
            budget.decode.get(),
            config.limits.image(),
            config.limits.timeout(),
        );
        let (store, uploads) = open_store(config, remote.clone())?;
        let app = Arc::new(App::new(registry, pipeline, limits, protection, store));
        let options = EngineOptions {
            precision: config.engine.precision,
            compute: budget.compute,
            turns: Turns::default(),
            limits: BatchLimits {
                max_batch: config.engine.max_batch,
                queue: config.engine.queue,
            },
        };
        if let Some(worker) = uploads {
            let served = Served::new(&app, runtime.clone(), options.clone());
            worker.start(served).map_err(ServeError::Uploads)?;
        }
        let (watching, stopped) = mpsc::channel();
        let loading = Loader {
            app: Arc::clone(&app),
            runtime,
            options,
            remote: remote.clone(),
        };
        let loaded = loading.start(&config.models, directories, stopped);
        let waits = Waits {
            head: config.limits.timeout(),
            write: config.limits.timeout(),
            grace: Duration::from_secs(config.listen.shutdown_grace),
        };
        Ok(Self {
            listener,
            address,
            app,
            remote,
            loaded,
            waits,
            delay: config.listen.shutdown_delay,
            tls,
            watching,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How its address begins in a client.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Waits until every model is served or refused; says how a first request reaches one, if any is served.
    pub fn loaded(&self) -> impl Future<Output = Option<Example>> + Send + use<> {
        let (mut loaded, app) = (self.loaded.clone(), Arc::clone(&self.app));
        async move {
            // The sender goes only after it has said so.
            let _ = loaded.wait_for(|loaded| *loaded).await;
            app.registry.example()
        }
    }

    /// Serves until `shutdown`, then finishes what is in flight, for as long as the grace allows.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let (closing, remote, delay) = (Arc::clone(&self.app), self.remote, self.delay);
        let asked = async move {
            shutdown.await;
            closing.close();
            if let Some(remote) = remote {
                remote.end();
            }
            tracing::info!("shutting down");
            tokio::time::sleep(delay).await;
        };
        let keys = tokio::spawn(self.app.protection.gate.clone().watch());
        let router = router(Arc::clone(&self.app));
        let tls = self.tls.map(TlsAcceptor::from);
        connections::serve(self.listener, tls, router, self.waits, asked).await;
        keys.abort();
        drop(self.watching);
        // Waits for the engines' threads, which must not hold up others that run here.
        let app = self.app;
        tokio::task::spawn_blocking(move || app.registry.close())
            .await
            .map_err(ServeError::End)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Where `models` names a store elsewhere: lists its models, and puts its folder in the cache in the address's place.
/// A store that does not answer is a warning where the cache has models of it.
async fn connect(
    models: &mut ModelArguments,
) -> Result<Option<(Arc<Remote>, Vec<PathBuf>)>, ServeError> {
    if !Remote::is_address(&models.models) {
        return Ok(None);
    }
    let (address, cache) = (models.models.display().to_string(), models.cache.clone());
    let handle = Handle::current();
    let opened = tokio::task::spawn_blocking(move || {
        let remote = Remote::open(&address, &cache, handle)?;
        let directories = remote.look().or_else(|error| {
            let cached = list(remote.folder())?;
            if cached.is_empty() {
                return Err(error);
            }
            tracing::warn!(%error, "models are served from the cache");
            Ok(cached)
        })?;
        Ok::<_, RemoteError>((remote, directories))
    });
    let (remote, directories) = opened.await.map_err(ServeError::End)??;
    remote.folder().clone_into(&mut models.models);
    Ok(Some((Arc::new(remote), directories)))
}

/// The store, and who takes uploads to it where they are allowed.
fn open_store(
    config: &Config,
    remote: Option<Arc<Remote>>,
) -> Result<(Store, Option<Worker>), ServeError> {
    let root = config.models.models.clone();
    if !config.uploads.allow_uploads {
        return Ok((Store::read_only(root), None));
    }
    let limits = ReceiveLimits {
        bytes: config.uploads.max_upload_bytes,
        wait: config.limits.timeout(),
    };
    let (store, worker) = Store::writable(root, remote, limits).map_err(ServeError::Uploads)?;
    Ok((store, Some(worker)))
}

/// Loads models, one after the other.
struct Loader {
    app: Arc<App>,
    runtime: Runtime,
    options: EngineOptions,
    remote: Option<Arc<Remote>>,
}

impl Loader {
    /// Loads the models that are there on a thread of its own, and then those that the watch tells of, until `stopped`.
    fn start(
        self,
        models: &ModelArguments,
        directories: Vec<PathBuf>,
        stopped: mpsc::Receiver<()>,
    ) -> watch::Receiver<bool> {
        let (loaded, receiver) = watch::channel(false);
        let (store, every) = (models.models.clone(), models.watch);
        tokio::task::spawn_blocking(move || {
            let mut watch = Watch::new(store);
            for directory in directories {
                self.bring(&directory);
            }
            self.app.registry.started();
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
                Change::Load(directory) => self.load(&directory),
                Change::Remove(name) => self.app.registry.remove(&name),
            }
        }
        self.app.registry.unload_retired();
    }

    /// Loads a model that has to be fetched first where the store is elsewhere. One that cannot be is refused, unless
    /// the cache has it as it was.
    fn bring(&self, directory: &Path) {
        let remote = self.remote.as_ref();
        let Err(error) = remote.map_or(Ok(()), |remote| remote.bring(directory)) else {
            return self.load(directory);
        };
        if directory.is_dir() {
            tracing::warn!(path = %directory.display(), %error, "model not fetched: the cache's is served");
            self.load(directory);
        } else {
            self.app.registry.refuse(directory, &error);
        }
    }

    fn load(&self, directory: &Path) {
        if !self.app.is_closing() {
            let registry = &self.app.registry;
            registry.load(directory, &self.runtime, &self.options);
        }
    }
}
