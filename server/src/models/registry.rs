//! The models of the store and the state of each: loading, ready, or refused with the reason.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use detcon_core::model::ModelError;
use detcon_inference::Output;

use super::ModelsError;
use super::model::{Model, Opener, Refusal};
use super::watch::name;
use history::History;

pub(crate) use history::Moment;
use state::Begun;
pub(crate) use state::{Loaded, State};

mod history;
mod state;

/// Why a store cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be listed.
    #[error(
        "the models could not be listed: {0}; give a directory of model directories with --models"
    )]
    List(#[from] ModelError),
    /// It is a model's own directory.
    #[error("{} is a model itself; give the folder that it is in: --models {}", path.display(), parent.display())]
    Model {
        /// As it was given.
        path: PathBuf,
        /// Where it lies.
        parent: PathBuf,
    },
    /// The default model is not in it.
    #[error("--default-model {name:?} is not among the models of --models: {known}")]
    DefaultModel {
        /// As it was given.
        name: String,
        /// Those that are there.
        known: String,
    },
}

/// Every model of a store by name.
pub(crate) struct Registry {
    opener: Box<dyn Opener>,
    models: RwLock<Models>,
    default: Option<String>,
    /// Taken off, with requests that are not answered yet. Whoever loads and removes models drops them, so that no
    /// request waits for an engine's thread to end.
    retired: Mutex<Vec<Arc<Model>>>,
    /// Held while a model is loaded: who finds another loading it finds it loaded.
    loading: Mutex<()>,
    /// Whether the models that were there at the start are yet to be decided about.
    starting: AtomicBool,
    /// Whether the server is on its way out: nothing is loaded any more.
    closing: AtomicBool,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Registry");
        shown.field("models", &self.models).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Models {
    states: BTreeMap<String, State>,
    /// Why what is in a model's directory now does not take its place.
    held_back: BTreeMap<String, Arc<str>>,
    history: History,
}

impl Registry {
    /// Models in these states; others are opened by `opener`.
    pub(crate) fn new(
        states: BTreeMap<String, State>,
        default: Option<String>,
        opener: Box<dyn Opener>,
    ) -> Self {
        let models = Models {
            states,
            ..Models::default()
        };
        Self {
            opener,
            models: RwLock::new(models),
            default,
            retired: Mutex::default(),
            loading: Mutex::default(),
            starting: AtomicBool::new(true),
            closing: AtomicBool::new(false),
        }
    }

    /// The models of these directories, all of them loading.
    pub(crate) fn open(
        directories: &[PathBuf],
        default: Option<String>,
        opener: Box<dyn Opener>,
    ) -> Result<Self, StoreError> {
        let names: Vec<_> = directories.iter().map(|path| name(path)).collect();
        if let Some(name) = default.as_ref().filter(|name| !names.contains(name)) {
            return Err(StoreError::DefaultModel {
                name: name.clone(),
                known: names.join(", "),
            });
        }
        let models = names.into_iter().map(|name| (name, State::Loading));
        Ok(Self::new(models.collect(), default, opener))
    }

    /// Notes that the models that were there at the start are decided about. Those that come later do not make the
    /// server unready.
    pub(crate) fn started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// After everything that was decided about models until now.
    pub(crate) fn now(&self) -> Moment {
        self.read().history.now()
    }

    /// Checks the model at `path` and warms it up, then serves it under its name, or refuses it. A model that is served
    /// under the name already is served until then, and further on where this one is refused. Nothing is done about one
    /// that was taken off since it was noticed, or is while it is loaded.
    pub(crate) fn load(&self, path: &Path, noticed: Moment) -> Loaded {
        if self.is_closing() {
            return Loaded::Decided;
        }
        let (name, start) = (name(path), Instant::now());
        let _loading = self.loading.lock().expect("no holder panics");
        let served = match self.begin(&name, noticed) {
            Begun::TakenOff => return Loaded::Decided,
            Begun::First => None,
            Begun::Successor(served) => Some(served),
        };
        if served
            .as_ref()
            .is_some_and(|it| it.network().is_unchanged())
        {
            self.write().held_back.remove(&name);
            return Loaded::Decided; // the manifest names every file's digest
        }
        let stats = served.map_or_else(Arc::default, |it| Arc::clone(it.batcher().stats()));
        let opened = catch_unwind(AssertUnwindSafe(|| self.opener.open(path, stats)));
        match opened.unwrap_or(Err(Refusal::Panic)) {
            Ok(model) => {
                announce(&model, start);
                self.serve(name, model, noticed);
                Loaded::Decided
            }
            Err(refusal) => {
                self.refuse(path, &refusal, noticed);
                if refusal.is_passing() {
                    Loaded::Unread
                } else {
                    Loaded::Decided
                }
            }
        }
    }

    /// Whether the model at `path` could be served.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Refusal> {
        self.opener.check(path)
    }

    /// Begins to load a model; where its name is not known, one is loading from now on.
    fn begin(&self, name: &str, noticed: Moment) -> Begun {
        let mut models = self.write();
        if models.history.removed_since(name, noticed) {
            return Begun::TakenOff;
        }
        let state = models.states.entry(name.to_owned());
        match state.or_insert(State::Loading) {
            State::Ready(model) => Begun::Successor(Arc::clone(model)),
            State::Loading | State::Refused(_) => Begun::First,
        }
    }

    fn serve(&self, name: String, model: Model, noticed: Moment) {
        let mut models = self.write();
        if models.history.removed_since(&name, noticed) {
            drop(models);
            tracing::info!(model = name, "taken off while it was loaded: not served");
            return self.retire(Some(State::Ready(Arc::new(model))));
        }
        models.held_back.remove(&name);
        models.history.serve(&name);
        let before = models.states.insert(name, State::Ready(Arc::new(model)));
        drop(models);
        self.retire(before);
    }

    /// Does not serve what is at `path`, or should be, unless it was taken off since it was noticed. A model that is
    /// served under its name is served on.
    pub(crate) fn refuse(&self, path: &Path, refusal: &dyn Error, noticed: Moment) {
        let (name, reason): (_, Arc<str>) = (name(path), refusal.to_string().into());
        let mut models = self.write();
        if models.history.removed_since(&name, noticed) {
            return;
        }
        if let Some(State::Ready(_)) = models.states.get(&name) {
            let before = models.held_back.insert(name.clone(), Arc::clone(&reason));
            if before.as_ref() != Some(&reason) {
                tracing::error!(model = name, %reason, "its successor was refused; the model is served on");
            }
        } else {
            let refused = State::Refused(Arc::clone(&reason));
            let before = models.states.insert(name.clone(), refused);
            if !matches!(before, Some(State::Refused(before)) if before == reason) {
                tracing::error!(model = name, %reason, "model refused");
            }
        }
    }

    /// Serves a model no longer. Requests that have it are answered.
    pub(crate) fn remove(&self, name: &str) {
        self.take_off(self.write(), name);
    }

    /// The same of one that was seen to be gone, unless it was served anew since.
    pub(crate) fn remove_gone(&self, name: &str, noticed: Moment) {
        let models = self.write();
        if !models.history.served_since(name, noticed) {
            self.take_off(models, name);
        }
    }

    fn take_off(&self, mut models: RwLockWriteGuard<'_, Models>, name: &str) {
        models.held_back.remove(name);
        models.history.remove(name);
        let before = models.states.remove(name);
        drop(models);
        if before.is_some() {
            tracing::info!(model = name, "model removed");
        }
        self.retire(before);
    }

    fn retire(&self, state: Option<State>) {
        if let Some(State::Ready(model)) = state {
            let mut retired = self.retired.lock().expect("no holder panics");
            retired.push(model);
        }
    }

    /// Unloads the models that were taken off and whose requests are all answered. Waits for their engines' threads.
    pub(crate) fn unload_retired(&self) {
        let mut retired = self.retired.lock().expect("no holder panics");
        let idle = |model: &mut Arc<Model>| Arc::strong_count(model) == 1;
        let unloaded: Vec<_> = retired.extract_if(.., idle).collect();
        drop(retired);
        for model in unloaded {
            let (name, digest) = (model.manifest().name.to_string(), model.digest().to_owned());
            drop(model);
            tracing::info!(model = name, digest, "model unloaded");
        }
    }

    /// Every model's name and state, by name.
    #[must_use]
    pub(crate) fn states(&self) -> Vec<(String, State)> {
        let models = self.read();
        let pairs = models.states.iter();
        pairs
            .map(|(name, state)| (name.clone(), state.clone()))
            .collect()
    }

    /// Models that are served though something else is in their directories, and why that is not.
    #[must_use]
    pub(crate) fn held_back(&self) -> Vec<(String, Arc<str>)> {
        let models = self.read();
        let pairs = models.held_back.iter();
        pairs
            .map(|(name, reason)| (name.clone(), Arc::clone(reason)))
            .collect()
    }

    /// Whether every model that was there at the start is decided about and at least one is served.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        let (states, starting) = (self.states(), self.starting.load(Ordering::Relaxed));
        let any = |wanted: fn(&State) -> bool| states.iter().any(|(_, state)| wanted(state));
        let loading = starting && any(|state| matches!(state, State::Loading));
        !loading && any(|state| matches!(state, State::Ready(_)))
    }

    fn read(&self) -> RwLockReadGuard<'_, Models> {
        self.models.read().expect("no writer panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Models> {
        self.models.write().expect("no writer panics")
    }

    /// The model that a request asks for, or the one it means when it names none: the default, or else the only one
    /// that is served.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<Model>, ModelsError> {
        let models = self.read();
        let name = match name.or(self.default.as_deref()) {
            Some(name) => name,
            None => only(&models.states, self.starting.load(Ordering::Relaxed))?,
        };
        match models.states.get(name) {
            Some(State::Ready(model)) => Ok(Arc::clone(model)),
            Some(State::Loading) => Err(ModelsError::Loading {
                name: name.to_owned(),
            }),
            Some(State::Refused(reason)) => Err(ModelsError::Refused {
                name: name.to_owned(),
                reason: reason.to_string(),
            }),
            None => Err(ModelsError::unknown(name)),
        }
    }

    /// A model that is served, for a first request: its name where a request has to give it.
    pub(crate) fn example(&self) -> Example {
        if self.find(None).is_ok() {
            return Example::Unnamed;
        }
        let states = self.states();
        if states.is_empty() {
            return Example::None;
        }
        let mut ready = states.into_iter();
        let ready = ready.find(|(_, state)| matches!(state, State::Ready(_)));
        ready.map_or(Example::Refused, |(name, _)| Example::Named(name))
    }

    /// Whether the server is on its way out.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Notes that the server is on its way out: it is not ready any more, and loads nothing.
    pub(crate) fn begin_to_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Lets go of every model: engines finish what they have and their threads end.
    pub(crate) fn close(&self) {
        let models = std::mem::take(&mut *self.write());
        drop(models);
        let retired = std::mem::take(&mut *self.retired.lock().expect("no holder panics"));
        drop(retired);
    }
}

/// How a first request reaches a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Example {
    /// Without naming it.
    Unnamed,
    /// By this name.
    Named(String),
    /// Not at all: there are models, and none could be served.
    Refused,
    /// Not at all: there is none.
    None,
}

/// The name of the only model that is in the store, or of the only one that is served once all that were there at the
/// start are decided about.
fn only(models: &BTreeMap<String, State>, starting: bool) -> Result<&str, ModelsError> {
    let loading = models
        .iter()
        .find(|(_, state)| starting && matches!(state, State::Loading));
    let mut ready = models
        .iter()
        .filter(|(_, state)| matches!(state, State::Ready(_)));
    match (models.len(), loading, ready.next(), ready.next()) {
        (1, ..) => models
            .keys()
            .next()
            .map(String::as_str)
            .ok_or(ModelsError::NothingServed),
        (_, Some((name, _)), ..) => Err(ModelsError::Loading { name: name.clone() }),
        (_, None, None, _) => Err(ModelsError::NothingServed),
        (_, None, Some((name, _)), None) => Ok(name),
        (_, None, Some(_), Some(_)) => Err(ModelsError::NotNamed),
    }
}

fn announce(model: &Model, start: Instant) {
    let manifest = model.manifest();
    let (name, arch) = (manifest.name.as_str(), manifest.spec.to_string());
    let (digest, precision) = (model.digest(), model.precision(Output::Embedding));
    let load_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(model = name, arch, digest, %precision, load_ms, "model ready");
    if !manifest.pretrained {
        tracing::warn!(
            model = name,
            "this model is untrained: its embeddings mean nothing"
        );
    }
}

#[cfg(test)]
mod tests;
