//! The server's life: bind, load in the background, serve, drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use detcon_core::model::{file, list};
use detcon_inference::{InferenceError, Runtime};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connections::{self, Waits};
use super::routes::router;
use super::tls::{self, TlsError};
use crate::api::App;
use crate::config::{Config, ModelArguments, Threads};
use crate::engine::{Pipeline, Turns};
use crate::models::store::{Remote, RemoteError, Store, Worker};
use crate::models::{Example, Loader, OnnxOpener, Registry, ServeOptions, StoreError};
use crate::observe::Metrics;
use crate::protect::{Gate, KeysError};

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
    Engine(#[from] InferenceError),
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
    router: Router,
    registry: Arc<Registry>,
    gate: Gate,
    remote: Option<Arc<Remote>>,
    loaded: watch::Receiver<bool>,
    waits: Waits,
    connections: usize,
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
        let (remote, directories) = find(&mut config.models).await?;
        let config = &config;
        let threads = Threads::of(&config.engine);
        let registry = open_registry(config, threads, runtime, &directories)?;
        let protection = config.protect.protection()?;
        let tls = match (&config.protect.tls_cert, &config.protect.tls_key) {
            (Some(cert), Some(key)) => Some(tls::config(cert, key)?),
            _ => None,
        };
        let (listener, address) = bind(config.listen.listen).await?;
        let (store, uploads) = open_store(config, remote.clone())?;
        if let Some(worker) = uploads {
            let served = Arc::downgrade(&registry);
            worker.start(served).map_err(ServeError::Uploads)?;
        }
        let (watching, stopped) = mpsc::channel();
        let loading = Loader {
            registry: Arc::clone(&registry),
            remote: remote.clone(),
        };
        let models = &config.models;
        let loaded = loading.start(models.models.clone(), directories, models.watch, stopped);
        let gate = protection.gate.clone();
        let app = App {
            registry: Arc::clone(&registry),
            pipeline: Pipeline::new(
                threads.decode.get(),
                config.limits.image(),
                config.limits.costs(),
                config.limits.timeout(),
            ),
            limits: config.body_limits(),
            store,
            metrics: Arc::new(Metrics::new()),
        };
        Ok(Self {
            listener,
            address,
            router: router(Arc::new(app), protection),
            registry,
            gate,
            remote,
            loaded,
            waits: Waits {
                head: config.limits.timeout(),
                keep_alive: config.listen.keep_alive,
                write: config.limits.timeout(),
                grace: Duration::from_secs(config.listen.shutdown_grace),
            },
            connections: config.listen.connections(),
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

    /// Waits until every model is served or refused; says how a first request reaches one.
    pub fn loaded(&self) -> impl Future<Output = Example> + Send + use<> {
        let (mut loaded, registry) = (self.loaded.clone(), Arc::clone(&self.registry));
        async move {
            // The sender goes only after it has said so.
            let _ = loaded.wait_for(|loaded| *loaded).await;
            registry.example()
        }
    }

    /// Serves until `shutdown`, then finishes what is in flight, for as long as the grace allows.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let (closing, remote, delay) = (Arc::clone(&self.registry), self.remote, self.delay);
        let asked = async move {
            shutdown.await;
            closing.begin_to_close();
            if let Some(remote) = remote {
                remote.end();
            }
            tracing::info!("shutting down");
            tokio::time::sleep(delay).await;
        };
        let keys = tokio::spawn(self.gate.watch());
        let tls = self.tls.map(TlsAcceptor::from);
        let bounds = (self.waits, self.connections);
        connections::serve(self.listener, tls, self.router, bounds, asked).await;
        keys.abort();
        drop(self.watching);
        // Waits for the engines' threads, which must not hold up others that run here.
        let registry = self.registry;
        tokio::task::spawn_blocking(move || registry.close())
            .await
            .map_err(ServeError::End)?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The directories of the models. Where `models` names a store elsewhere, its folder in the cache takes the address's
/// place. A store that does not answer is a warning where the cache has models of it.
async fn find(
    models: &mut ModelArguments,
) -> Result<(Option<Arc<Remote>>, Vec<PathBuf>), ServeError> {
    if !Remote::is_address(&models.models) {
        let path = &models.models;
        let directories = list(path).map_err(StoreError::from)?;
        if path.join(file::MANIFEST).is_file() {
            let parent = path.canonicalize().unwrap_or_default();
            let parent = parent.parent().unwrap_or(path).to_owned();
            let path = path.clone();
            return Err(StoreError::Model { path, parent }.into());
        }
        return Ok((None, directories));
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
    Ok((Some(Arc::new(remote)), directories))
}

/// The registry of the models in these directories, all of them loading.
fn open_registry(
    config: &Config,
    threads: Threads,
    runtime: Runtime,
    directories: &[PathBuf],
) -> Result<Arc<Registry>, StoreError> {
    let engine = &config.engine;
    let opener = OnnxOpener {
        runtime,
        options: ServeOptions {
            open: engine.open(threads),
            turns: Turns::default(),
            max_batch: engine.max_batch,
            batch_pixels: engine.max_batch_pixels,
            queue: engine.queue,
        },
    };
    let default = config.models.default_model.clone();
    Registry::open(directories, default, Box::new(opener)).map(Arc::new)
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
    let limit = config.uploads.max_upload_bytes;
    let (store, worker) = Store::writable(root, remote, limit).map_err(ServeError::Uploads)?;
    Ok((store, Some(worker)))
}
