//! A published checkpoint in, a model directory out.

use std::fmt;
use std::path::Path;

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::{
    Checkpoint, FitError, Fitted, MovingAverages, SetAside, SourceArray, SourceTensor,
};
use detcon_core::files::Existing;
use detcon_core::model::Source;
use detcon_core::names::{Destination, HaikuNames, NamesError, infer_spec};

use crate::fetch::{FetchError, FetchOptions};
use crate::haiku::{HaikuTree, Network};
use crate::location::{Location, Opened};
use crate::model_writer::{Model, ModelWriter, WriteError};
use crate::pickle::{Array, Limits};
use crate::source::{self, Content, SourceError};
use crate::torch::{Backbone, StateDict, TorchError};

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Whether a directory that is there may be replaced.
    pub existing: Existing,
    /// SPDX identifier of the weights' licence, where it is known.
    pub license: Option<String>,
    /// Which network to take where the source has two.
    pub network: Network,
    /// What to do where there are no moving averages.
    pub averages: MovingAverages,
    /// For state dicts: what the network's names start with; none means that it is to be found.
    pub strip_prefix: Option<String>,
    /// Where the checkpoint comes from, for the manifest; none means that its location says so.
    pub origin: Option<String>,
    /// How to fetch an address.
    pub fetch: FetchOptions,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            existing: Existing::Keep,
            license: None,
            network: Network::default(),
            averages: MovingAverages::default(),
            strip_prefix: None,
            origin: None,
            fetch: FetchOptions::default(),
        }
    }
}

/// Why a checkpoint was not imported. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It holds no value that could be a checkpoint.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its names are no torchvision network's.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// An option that is for state dicts, with a checkpoint that is none.
    #[error(
        "--strip-prefix is for PyTorch and safetensors files, and this is a checkpoint of haiku's modules"
    )]
    Prefix,
    /// Its names are no network's.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// Its tensors do not fill the network.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The model directory could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The network.
    pub spec: ResNetSpec,
    /// How the source was laid out.
    pub layout: String,
    /// Parameters of the backbone.
    pub backbone: usize,
    /// Tensors of projector, predictor and classifier.
    pub heads: usize,
    /// Source tensors that were not used.
    pub set_aside: usize,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spec,
            layout,
            backbone,
            heads,
            set_aside,
        } = self;
        write!(
            f,
            "{spec} from the {layout} layout, {backbone} backbone and {heads} head tensors, {set_aside} set aside"
        )
    }
}

/// Reads the checkpoint at `source` and makes a model directory of it at `place`.
pub fn import(
    source: &Location,
    place: &Path,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let writer = ModelWriter::new(place, options.existing)?;
    let scratch =
        tempfile::tempdir_in(writer.scratch()).map_err(FetchError::io(writer.scratch()))?;
    let mut opened = source.open(&options.fetch, scratch.path())?;
    let (layout, fitted) = match source::open(opened.bytes(), options.network, &Limits::default())?
    {
        Content::Haiku(_) if options.strip_prefix.is_some() => return Err(ImportError::Prefix),
        Content::Haiku(tree) => (
            tree.layout.to_string(),
            fit_haiku(tree, &opened, options.averages)?,
        ),
        Content::Torch(state) => {
            let backbone = state.backbone(options.strip_prefix.as_deref())?;
            let layout = state.layout(&backbone);
            (
                layout,
                fit_torch(state, &opened, &backbone, options.averages)?,
            )
        }
    };
    let Fitted {
        checkpoint,
        heads,
        ledger,
    } = fitted;
    let imported = Imported {
        spec: checkpoint.spec(),
        layout: layout.clone(),
        backbone: ledger.backbone.len(),
        heads: ledger.heads.len(),
        set_aside: ledger.set_aside.len(),
    };
    let source = Source {
        uri: options.origin.clone().unwrap_or_else(|| source.to_string()),
        sha256: Some(opened.sha256()?.to_owned()),
        layout,
    };
    let license = options.license.clone();
    drop((opened, scratch));
    writer.finish(&Model {
        checkpoint,
        heads,
        ledger: Some(ledger),
        source,
        training: None,
        license,
    })?;
    Ok(imported)
}

/// Maps every entry by its name and fits the network that the names and the stem's shape tell.
fn fit_haiku<'a>(
    tree: HaikuTree<'a>,
    file: &'a Opened,
    averages: MovingAverages,
) -> Result<Fitted, ImportError> {
    let spec = infer_spec(tree.entries.iter().map(|entry| {
        (
            entry.module.as_str(),
            entry.name.as_str(),
            entry.array.shape(),
        )
    }))?;
    let names = HaikuNames::new(spec);
    let source = tree.entries.into_iter().map(|entry| SourceTensor {
        key: entry.key(),
        // The fit names every entry without a place, not only the first.
        destination: names
            .destination(&entry.module, &entry.name)
            .unwrap_or(Destination::Nowhere),
        array: InPlace {
            array: entry.array,
            file,
        },
    });
    let mut fitted = Checkpoint::fit(spec, source.collect(), averages)?;
    let unread = tree.set_aside.into_iter();
    fitted.ledger.set_aside.extend(unread.map(|it| SetAside {
        source: it.key,
        reason: it.reason.to_string(),
    }));
    Ok(fitted)
}

fn fit_torch<'a>(
    state: StateDict<'a>,
    file: &'a Opened,
    backbone: &Backbone,
    averages: MovingAverages,
) -> Result<Fitted, ImportError> {
    let unread: Vec<_> = state
        .set_aside()
        .iter()
        .map(|(key, reason)| SetAside {
            source: key.clone(),
            reason: (*reason).to_owned(),
        })
        .collect();
    let source = state.into_destinations(backbone).into_iter();
    let source = source.map(|(key, destination, array)| SourceTensor {
        key,
        destination,
        array: InPlace { array, file },
    });
    let mut fitted = Checkpoint::fit(backbone.spec(), source.collect(), averages)?;
    fitted.ledger.set_aside.extend(unread);
    Ok(fitted)
}

/// An array that lets go of the file's memory once it was read.
struct InPlace<'a> {
    array: Array<'a>,
    file: &'a Opened,
}

impl SourceArray for InPlace<'_> {
    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn to_f32(&self) -> Result<Vec<f32>, String> {
        let values = self.array.to_f32().map_err(|error| error.to_string());
        self.file.release(self.array.bytes());
        values
    }
}
