//! A model that is served, and what it has to pass before it is.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use detcon_core::model::{HeadEntry, Manifest, ModelError, Precision};
use detcon_core::preprocess::Preprocess;
use detcon_core::segment::SegmentationHead;
use detcon_inference::{
    Batch, BatchLimits, InferenceError, Network, OpenError, OpenOptions, Output, Runtime, Space,
};

use super::ModelsError;
use crate::engine::{Batcher, QueueLimits, Queued, Run, Turns};
use crate::observe::EngineStats;

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is no whole model, or its engine gives another embedding than the reference.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its engine could not be run.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The engine's thread could not be started.
    #[error("no thread for its engine: {0}")]
    Thread(#[from] std::io::Error),
    /// Checking it panicked.
    #[error("it could not be checked: the server's log says why")]
    Panic,
}

impl Refusal {
    /// Whether it is about this moment and not about the model: the system did not read a file, or had no thread.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Open(OpenError::Directory(ModelError::Io { source, .. })) => {
                source.kind() != io::ErrorKind::NotFound
            }
            Self::Thread(_) => true,
            Self::Open(_) | Self::Inference(_) | Self::Panic => false,
        }
    }
}

/// How models are served.
#[derive(Clone, Debug)]
pub(crate) struct ServeOptions {
    /// How they are opened.
    pub(crate) open: OpenOptions,
    /// The engines of all models take turns.
    pub(crate) turns: Turns,
    /// Most images of a model's own size in one engine call: larger ones share their pixels.
    pub(crate) max_batch: NonZeroUsize,
    /// Most pixels in one engine call, if not those of that many images of the model's own size; one image is always
    /// taken.
    pub(crate) batch_pixels: Option<u64>,
    /// Most images of a model from admission to answer.
    pub(crate) queue: NonZeroUsize,
}

impl ServeOptions {
    /// How a model's images are grouped and bounded.
    const fn limits(&self, preprocess: Preprocess) -> QueueLimits {
        let mut batch = BatchLimits::of(self.max_batch, preprocess.size());
        if let Some(pixels) = self.batch_pixels {
            batch.pixels = pixels;
        }
        QueueLimits {
            batch,
            queue: self.queue,
        }
    }
}

/// A model that is served.
#[derive(Debug)]
pub(crate) struct Model {
    network: Network,
    batcher: Batcher,
}

impl Model {
    /// Puts a queue and a thread around the model's engine.
    pub(crate) fn start(
        network: Network,
        engine: impl Run,
        options: &ServeOptions,
        stats: Arc<EngineStats>,
    ) -> std::io::Result<Self> {
        let manifest = network.manifest();
        let (name, limits) = (manifest.name.as_str(), options.limits(manifest.preprocess));
        let batcher = Batcher::start(name, engine, limits, options.turns.clone(), stats)?;
        Ok(Self { network, batcher })
    }

    /// What it computes with beside its engine.
    #[must_use]
    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// The queue in front of its engine.
    #[must_use]
    pub(crate) const fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// What it is.
    #[must_use]
    pub(crate) fn manifest(&self) -> &Manifest {
        self.network.manifest()
    }

    /// SHA-256 of its manifest.
    #[must_use]
    pub(crate) fn digest(&self) -> &str {
        self.network.digest()
    }

    /// What an output is computed in.
    #[must_use]
    pub(crate) const fn precision(&self, output: Output) -> Precision {
        self.network.precision(output)
    }

    /// That a graph which gives an output is open.
    pub(crate) fn gives(&self, output: Output) -> Result<(), ModelsError> {
        if self.network.gives(output) {
            return Ok(());
        }
        Err(self.lacks(
            "graph that gives these features: convert its checkpoint again, or serve it without --no-dense-features",
        ))
    }

    /// That there are vectors of a space.
    pub(crate) fn has_space(&self, space: Space) -> Result<(), ModelsError> {
        match space {
            Space::Projection if self.network.projector().is_none() => Err(self.lacks(
                "projector, so it has no projection space: import a checkpoint with its heads",
            )),
            Space::Backbone | Space::Projection => Ok(()),
        }
    }

    /// A segmentation head, with what the manifest says of it.
    pub(crate) fn head(
        &self,
        name: &str,
    ) -> Result<&(HeadEntry, Arc<SegmentationHead>), ModelsError> {
        let heads = self.network.heads();
        match heads.get(name) {
            Some(head) => Ok(head),
            None if heads.is_empty() => {
                Err(self.lacks("segmentation head: train one with detcon-train finetune"))
            }
            None => Err(ModelsError::UnknownHead {
                name: name.chars().take(100).collect(),
                model: self.manifest().name.to_string(),
                known: heads.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn lacks(&self, what: &'static str) -> ModelsError {
        ModelsError::Lacks {
            name: self.manifest().name.to_string(),
            what,
        }
    }
}

impl Queued for Model {
    fn batcher(&self) -> &Batcher {
        self.batcher()
    }

    fn preprocess(&self) -> Preprocess {
        self.manifest().preprocess
    }
}

/// Who opens models. ONNX Runtime does; tests have others.
pub(crate) trait Opener: Send + Sync {
    /// The model at `path`, checked and warmed up, which counts what its engine does in `stats`.
    fn open(&self, path: &Path, stats: Arc<EngineStats>) -> Result<Model, Refusal>;

    /// Whether the model at `path` can be served.
    fn check(&self, path: &Path) -> Result<(), Refusal>;
}

/// Opens models for ONNX Runtime.
#[derive(Debug)]
pub(crate) struct OnnxOpener {
    /// The library.
    pub(crate) runtime: Runtime,
    /// How they are served.
    pub(crate) options: ServeOptions,
}

impl OnnxOpener {
    /// Opens a model whole, and holds its engine against its self-check.
    fn checked(&self, path: &Path) -> Result<detcon_inference::Model, Refusal> {
        let mut model = detcon_inference::Model::open(&self.runtime, path, self.options.open)?;
        self.in_turn(|| model.check())?;
        Ok(model)
    }

    fn in_turn<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.options.turns.take();
        work()
    }
}

impl Opener for OnnxOpener {
    /// Digests, self-check on the engine that will serve, and first runs at the sizes that are served: one image, and
    /// the largest batch.
    fn open(&self, path: &Path, stats: Arc<EngineStats>) -> Result<Model, Refusal> {
        let (network, mut engine) = self.checked(path)?.into_parts();
        let side = network.manifest().preprocess.size() as usize;
        for images in [1, self.options.max_batch.get()] {
            let blank = Batch::blank(images, [side, side]);
            self.in_turn(|| engine.run(&blank, Output::Embedding))?;
        }
        Ok(Model::start(network, engine, &self.options, stats)?)
    }

    fn check(&self, path: &Path) -> Result<(), Refusal> {
        self.checked(path).map(drop)
    }
}
