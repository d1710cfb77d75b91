//! A model that is served, and what it has to pass before it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use detcon_core::checkpoint::tensors_from_bytes;
use detcon_core::model::{
    Disagreement, HeadEntry, Manifest, ModelDirectory, ModelError, Precision,
};
use detcon_core::projector::Projector;
use detcon_core::segment::SegmentationHead;

use crate::batch::{BatchLimits, Batcher, Run};
use crate::budget::Turns;
use crate::config::PrecisionChoice;
use crate::engine::{Batch, Compute, Engine, EngineError, Output, Runtime};
use crate::problem::Problem;
use crate::stats::EngineStats;

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The directory is no whole model.
    #[error(transparent)]
    Directory(#[from] ModelError),
    /// The engine could not be started or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine gives another embedding than the reference.
    #[error("its self-check failed in {precision}: {disagreement}")]
    SelfCheck {
        /// What the engine computed in.
        precision: Precision,
        /// How far it was off.
        disagreement: Disagreement,
    },
    /// The engine's thread could not be started.
    #[error("no thread for its engine: {0}")]
    Thread(#[from] std::io::Error),
    /// Checking it panicked.
    #[error("it could not be checked: the server's log says why")]
    Panic,
}

/// How models are run.
#[derive(Clone, Debug)]
pub(crate) struct EngineOptions {
    /// What embeddings are computed in.
    pub(crate) precision: PrecisionChoice,
    /// Threads of an engine.
    pub(crate) compute: Compute,
    /// Those of all models take turns.
    pub(crate) turns: Turns,
    /// How images are grouped and bounded.
    pub(crate) limits: BatchLimits,
}

/// Segmentation heads by name.
type Heads = BTreeMap<String, Arc<SegmentationHead>>;

/// A model that is served.
#[derive(Debug)]
pub(crate) struct Model {
    directory: ModelDirectory,
    precision: Precision,
    batcher: Batcher,
    heads: Heads,
    /// Read when it is first asked for.
    projector: OnceLock<Option<Projector>>,
}

impl Model {
    /// Puts a queue and a thread around the model's engine, which computes embeddings in a precision.
    pub(crate) fn start(
        directory: ModelDirectory,
        precision: Precision,
        engine: impl Run,
        options: &EngineOptions,
        stats: Arc<EngineStats>,
    ) -> std::io::Result<Self> {
        let name = directory.manifest().name.as_str();
        let batcher = Batcher::start(name, engine, options.limits, options.turns.clone(), stats)?;
        Ok(Self {
            directory,
            precision,
            batcher,
            heads: Heads::new(),
            projector: OnceLock::new(),
        })
    }

    /// The same with its segmentation heads.
    fn with_heads(self, heads: Heads) -> Self {
        Self { heads, ..self }
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

    /// Whether its directory still holds it.
    pub(super) fn is_unchanged(&self) -> bool {
        self.directory.is_unchanged()
    }

    /// What an output is computed in: features are float32's always.
    #[must_use]
    pub(crate) const fn precision(&self, output: Output) -> Precision {
        match output {
            Output::Embedding => self.precision,
            Output::Features(_) => Precision::Fp32,
        }
    }

    /// The queue in front of its engine.
    #[must_use]
    pub(crate) const fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// A segmentation head, with what the manifest says of it.
    pub(crate) fn head(&self, name: &str) -> Result<(&HeadEntry, &Arc<SegmentationHead>), Problem> {
        let mut entries = self.manifest().segmentation_heads.iter();
        let entry = entries.find(|(known, _)| known.as_str() == name);
        match (entry, self.heads.get(name)) {
            (Some((_, entry)), Some(head)) => Ok((entry, head)),
            _ if self.heads.is_empty() => Err(Problem::ModelLacks {
                name: self.manifest().name.to_string(),
                what: "segmentation head: train one with detcon-train finetune",
            }),
            _ => Err(Problem::UnknownHead {
                name: name.chars().take(100).collect(),
                model: self.manifest().name.to_string(),
                known: self.heads.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Its projector, read from the heads the first time: call it where waiting for a file is allowed.
    pub(crate) fn projector(&self) -> Result<&Projector, Problem> {
        let projector = self.projector.get_or_init(|| self.read_projector());
        projector.as_ref().ok_or_else(|| Problem::ModelLacks {
            name: self.manifest().name.to_string(),
            what: "projector, so it has no projection space: import a checkpoint with its heads",
        })
    }

    fn read_projector(&self) -> Option<Projector> {
        let bytes = std::fs::read(self.directory.heads()?);
        let failed = |reason: &dyn std::fmt::Display| {
            tracing::error!(model = %self.manifest().name, %reason, "the projector could not be read");
        };
        if !self.directory.is_unchanged() {
            failed(&EngineError::Replaced);
            return None;
        }
        let heads = bytes.map_err(|error| failed(&error)).ok()?;
        let heads = tensors_from_bytes(&heads)
            .map_err(|error| failed(&error))
            .ok()?;
        let projector = Projector::from_heads(&heads, self.manifest().embedding_size);
        projector.map_err(|error| failed(&error)).ok()
    }
}

/// Digests, self-check on the engine that will serve, and first runs at the sizes that are served: one image, and the
/// largest batch.
pub(super) fn prepare(
    path: &Path,
    runtime: &Runtime,
    options: &EngineOptions,
    stats: Arc<EngineStats>,
) -> Result<Model, Refusal> {
    let Checked {
        directory,
        precision,
        mut engine,
        heads,
    } = checked(path, runtime, options)?;
    let side = directory.manifest().preprocess.size() as usize;
    for images in [1, options.limits.max_batch.get()] {
        let blank = Batch {
            shape: [images, side, side, 3],
            images: vec![0; images * side * side * 3],
        };
        in_turn(options, || engine.run(&blank, Output::Embedding))?;
    }
    if !directory.is_unchanged() {
        return Err(EngineError::Replaced.into());
    }
    let model = Model::start(directory, precision, engine, options, stats)?;
    Ok(model.with_heads(heads))
}

/// Whether the model at `path` can be served: digests, and the self-check on the engine that would serve it.
pub(crate) fn check(
    path: &Path,
    runtime: &Runtime,
    options: &EngineOptions,
) -> Result<(), Refusal> {
    checked(path, runtime, options).map(drop)
}

/// A model that has passed.
struct Checked {
    directory: ModelDirectory,
    precision: Precision,
    engine: Engine,
    heads: Heads,
}

fn checked(path: &Path, runtime: &Runtime, options: &EngineOptions) -> Result<Checked, Refusal> {
    let directory = ModelDirectory::open(path)?;
    let mut heads = Heads::new();
    for name in directory.manifest().segmentation_heads.keys() {
        let head = directory.segmentation_head(name)?;
        heads.extend(head.map(|head| (name.to_string(), Arc::new(head))));
    }
    let device = options.compute.device;
    let precision = options.precision.of(directory.manifest(), device);
    let mut engine = Engine::open(runtime, &directory, precision, options.compute)?;
    let check = directory.self_check_of(precision)?;
    let batch = Batch {
        shape: check.shape,
        images: check.images.clone(),
    };
    let found = in_turn(options, || engine.run(&batch, Output::Embedding))?;
    check
        .compare(found.values())
        .map_err(|disagreement| Refusal::SelfCheck {
            precision,
            disagreement,
        })?;
    Ok(Checked {
        directory,
        precision,
        engine,
        heads,
    })
}

fn in_turn<T>(options: &EngineOptions, work: impl FnOnce() -> T) -> T {
    let _turn = options.turns.take();
    work()
}
