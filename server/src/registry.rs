//! The models of the store and the state of each: loading, ready, or refused with the reason.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

use detcon_core::checkpoint::tensors_from_bytes;
use detcon_core::model::{self, Disagreement, Manifest, ModelDirectory, ModelError, Precision};
use detcon_core::projector::Projector;

use crate::batch::{BatchLimits, Batcher, Run};
use crate::engine::{Batch, Engine, EngineError, Graphs, Output, Runtime};
use crate::problem::Problem;

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The directory is no whole model.
    #[error(transparent)]
    Directory(#[from] ModelError),
    /// There is no graph to run.
    #[error("it has no fp32 graph: convert the checkpoint again")]
    NoGraph,
    /// The engine could not be started or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine gives another embedding than the reference.
    #[error("its self-check failed: {0}")]
    SelfCheck(#[from] Disagreement),
    /// The engine's thread could not be started.
    #[error("no thread for its engine: {0}")]
    Thread(#[from] std::io::Error),
    /// Checking it panicked.
    #[error("it could not be checked: the server's log says why")]
    Panic,
}

/// Why a store cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be listed.
    #[error(
        "the models could not be listed: {0}; give a directory of model directories with --models"
    )]
    List(#[from] ModelError),
    /// The default model is not in it.
    #[error("--default-model {name:?} is not among the models of --models: {known}")]
    DefaultModel {
        /// As it was given.
        name: String,
        /// Those that are there.
        known: String,
    },
}

/// A model that is served.
#[derive(Debug)]
pub(crate) struct Model {
    directory: ModelDirectory,
    batcher: Batcher,
    /// Read when it is first asked for.
    projector: OnceLock<Option<Projector>>,
}

impl Model {
    /// Puts a queue and a thread around the model's engine.
    pub(crate) fn start(
        directory: ModelDirectory,
        engine: impl Run,
        limits: BatchLimits,
    ) -> std::io::Result<Self> {
        let batcher = Batcher::start(directory.manifest().name.as_str(), engine, limits)?;
        Ok(Self {
            directory,
            batcher,
            projector: OnceLock::new(),
        })
    }

    /// What it is.
    #[must_use]
    pub(crate) fn manifest(&self) -> &Manifest {
        self.directory.manifest()
    }

    /// SHA-256 of its manifest.
    #[must_use]
    pub(crate) fn digest(&self) -> &str {
        self.directory.digest()
    }

    /// The queue in front of its engine.
    #[must_use]
    pub(crate) const fn batcher(&self) -> &Batcher {
        &self.batcher
    }
}

impl Model {
    /// Its projector, read from the heads the first time: call it where waiting for a file is allowed.
    pub(crate) fn projector(&self) -> Result<&Projector, Problem> {
        self.projector.get_or_init(|| self.read_projector()).as_ref().ok_or_else(|| Problem::ModelLacks {
            name: self.manifest().name.to_string(),
            what: "projector, so it has no projection space: import a checkpoint with its heads",
        })
    }

    fn read_projector(&self) -> Option<Projector> {
        let bytes = std::fs::read(self.directory.heads()?);
        let failed = |reason: &dyn std::fmt::Display| {
            tracing::error!(model = %self.manifest().name, %reason, "the projector could not be read");
        };
        let heads = bytes.map_err(|error| failed(&error)).ok()?;
        let heads = tensors_from_bytes(&heads)
            .map_err(|error| failed(&error))
            .ok()?;
        let projector = Projector::from_heads(&heads, self.manifest().embedding_size);
        projector.map_err(|error| failed(&error)).ok()
    }
}

/// Where a model stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Being checked.
    Loading,
    /// Served.
    Ready(Arc<Model>),
    /// Not served, for this reason.
    Refused(Arc<str>),
}

impl State {
    /// Name of [`State::Loading`].
    pub(crate) const LOADING: &str = "loading";
    /// Name of [`State::Ready`].
    pub(crate) const READY: &str = "ready";
    /// Name of [`State::Refused`].
    pub(crate) const REFUSED: &str = "refused";

    /// Its name in metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Loading => Self::LOADING,
            Self::Ready(_) => Self::READY,
            Self::Refused(_) => Self::REFUSED,
        }
    }
}

/// How models are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineOptions {
    /// Threads an engine computes with.
    pub threads: NonZeroUsize,
    /// How images are grouped and bounded.
    pub limits: BatchLimits,
}

/// Every model of a store by name.
#[derive(Debug)]
pub(crate) struct Registry {
    models: RwLock<BTreeMap<String, State>>,
    default: Option<String>,
}

impl Registry {
    /// Models in these states.
    pub(crate) const fn new(models: BTreeMap<String, State>, default: Option<String>) -> Self {
        Self {
            models: RwLock::new(models),
            default,
        }
    }

    /// Lists the store's models, all of them loading; returns their directories too.
    pub(crate) fn open(
        store: &Path,
        default: Option<String>,
    ) -> Result<(Self, Vec<PathBuf>), StoreError> {
        let directories = model::list(store)?;
        let names: Vec<_> = directories.iter().map(|path| name(path)).collect();
        if let Some(name) = default.as_ref().filter(|name| !names.contains(name)) {
            return Err(StoreError::DefaultModel {
                name: name.clone(),
                known: names.join(", "),
            });
        }
        let models = names.into_iter().map(|name| (name, State::Loading));
        let registry = Self::new(models.collect(), default);
        Ok((registry, directories))
    }

    /// Checks the model at `path`, warms it up, and serves it or refuses it.
    pub(crate) fn load(&self, path: &Path, runtime: &Runtime, options: EngineOptions) {
        let (name, start) = (name(path), Instant::now());
        let prepared = catch_unwind(AssertUnwindSafe(|| prepare(path, runtime, options)));
        let state = match prepared.unwrap_or(Err(Refusal::Panic)) {
            Ok(model) => {
                let manifest = model.manifest();
                let (arch, pretrained) = (manifest.spec.to_string(), manifest.pretrained);
                let load_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(model = name, arch, pretrained, load_ms, "model ready");
                if !pretrained {
                    tracing::warn!(
                        model = name,
                        "this model is untrained: its embeddings mean nothing"
                    );
                }
                State::Ready(Arc::new(model))
            }
            Err(refusal) => {
                tracing::error!(model = name, reason = %refusal, "model refused");
                State::Refused(refusal.to_string().into())
            }
        };
        self.models
            .write()
            .expect("no writer panics")
            .insert(name, state);
    }

    /// Lets go of a model: requests that have it are answered, and none gets it from here on.
    pub(crate) fn unload(&self, name: &str) {
        let gone = self.models.write().expect("no writer panics").remove(name);
        drop(gone);
    }

    /// Every model's name and state, by name.
    #[must_use]
    pub(crate) fn states(&self) -> Vec<(String, State)> {
        let models = self.models.read().expect("no writer panics");
        models
            .iter()
            .map(|(name, state)| (name.clone(), state.clone()))
            .collect()
    }

    /// Whether every model is decided about and at least one is served.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        let states = self.states();
        let loading = states
            .iter()
            .any(|(_, state)| matches!(state, State::Loading));
        !loading
            && states
                .iter()
                .any(|(_, state)| matches!(state, State::Ready(_)))
    }

    /// The model that a request asks for, or the one it means when it names none: the default, or else the only one
    /// that is served.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<Model>, Problem> {
        let models = self.models.read().expect("no writer panics");
        let name = match name.or(self.default.as_deref()) {
            Some(name) => name,
            None => only(&models)?,
        };
        match models.get(name) {
            Some(State::Ready(model)) => Ok(Arc::clone(model)),
            Some(State::Loading) => Err(Problem::ModelLoading {
                name: name.to_owned(),
            }),
            Some(State::Refused(reason)) => Err(Problem::ModelRefused {
                name: name.to_owned(),
                reason: reason.to_string(),
            }),
            None => Err(Problem::UnknownModel {
                name: name.chars().take(100).collect(),
            }),
        }
    }

    /// A model that is served, for a first request: its name where a request has to give it.
    pub(crate) fn example(&self) -> Option<Example> {
        if self.find(None).is_ok() {
            return Some(Example::Unnamed);
        }
        let states = self.states().into_iter();
        let mut ready = states.filter(|(_, state)| matches!(state, State::Ready(_)));
        ready.next().map(|(name, _)| Example::Named(name))
    }

    /// Lets go of every model: engines finish what they have and their threads end.
    pub(crate) fn close(&self) {
        let models = std::mem::take(&mut *self.models.write().expect("no writer panics"));
        drop(models);
    }
}

/// How a first request reaches a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Example {
    /// Without naming it.
    Unnamed,
    /// By this name.
    Named(String),
}

/// The name of the only model that is in the store, or of the only one that is served once all are decided about.
fn only(models: &BTreeMap<String, State>) -> Result<&str, Problem> {
    let loading = models
        .iter()
        .find(|(_, state)| matches!(state, State::Loading));
    let mut ready = models
        .iter()
        .filter(|(_, state)| matches!(state, State::Ready(_)));
    match (models.len(), loading, ready.next(), ready.next()) {
        (1, ..) => models
            .keys()
            .next()
            .map(String::as_str)
            .ok_or(Problem::NothingServed),
        (_, Some((name, _)), ..) => Err(Problem::ModelLoading { name: name.clone() }),
        (_, None, None, _) => Err(Problem::NothingServed),
        (_, None, Some((name, _)), None) => Ok(name),
        (_, None, Some(_), Some(_)) => Err(Problem::ModelNotNamed),
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether the model at `path` can be served.
pub(crate) fn check(path: &Path, runtime: &Runtime, options: EngineOptions) -> Result<(), Refusal> {
    prepare(path, runtime, options).map(drop)
}

/// Digests, self-check on the engine that will serve, and a first run at the size that is served.
fn prepare(path: &Path, runtime: &Runtime, options: EngineOptions) -> Result<Model, Refusal> {
    let directory = ModelDirectory::open(path)?;
    let main = directory.graph(Precision::Fp32).ok_or(Refusal::NoGraph)?;
    let graphs = Graphs {
        main,
        stages: directory.stages_graph(),
    };
    let mut engine = Engine::open(runtime, graphs, options.threads)?;
    let check = directory.self_check()?;
    let batch = Batch {
        shape: check.shape,
        images: check.images.clone(),
    };
    check.compare(engine.run(&batch, Output::Embedding)?.values())?;
    let side = directory.manifest().preprocess.size() as usize;
    let blank = Batch {
        shape: [1, side, side, 3],
        images: vec![0; side * side * 3],
    };
    engine.run(&blank, Output::Embedding)?;
    Ok(Model::start(directory, engine, options.limits)?)
}
