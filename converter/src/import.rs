//! A published checkpoint in, a model directory out.

mod in_place;

use std::fmt;
use std::path::Path;

use detcon_core::arch::{Normalization, ResNetSpec};
use detcon_core::checkpoint::{
    Checkpoint, FitError, Fitted, MovingAverages, SetAside, SourceTensor,
};
use detcon_core::files::Existing;
use detcon_core::model::{Source, declared_beside};
use detcon_core::names::{Destination, HaikuNames, NamesError, infer_spec};

use in_place::InPlace;

use crate::convention::{Assumed, Convention, ConventionError, Settled, Stated, settle};
use crate::fetch::{FetchError, FetchOptions};
use crate::haiku::{HaikuTree, Network};
use crate::location::{Location, Opened};
use crate::model_writer::{Model, ModelWriter, WriteError};
use crate::pickle::Limits;
use crate::source::{self, Content, SourceError};
use crate::stem_check::{StemCheck, StemError};
use crate::timm::{self, ConfigError, Configured};
use crate::torch::{TensorFile, TorchError};
use crate::transformers;

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
    /// What the user says of the network beside its tensors.
    pub stated: Stated,
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
            stated: Stated::default(),
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
    /// What is said of the network does not fit it.
    #[error(transparent)]
    Convention(#[from] ConventionError),
    /// The configuration beside it is another network's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its tensors do not fill the network.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The stem was trained on pixels that were normalised otherwise.
    #[error(transparent)]
    Normalization(#[from] Box<StemError>),
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
    /// Which of several networks was taken, and whose way that is.
    pub taken: Option<String>,
    /// What was taken of the network without being told.
    pub assumed: Option<Assumed>,
    /// How its normalisation fits its weights, where they tell.
    pub stem: Option<StemCheck>,
}

impl Imported {
    /// What is to be said beside it: which network was taken, what was only assumed, and how the normalisation fits.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let taken = self.taken.iter().cloned();
        let assumed = self.assumed.iter().map(ToString::to_string);
        let stem = self.stem.iter().map(ToString::to_string);
        taken.chain(assumed).chain(stem).collect()
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spec,
            layout,
            backbone,
            heads,
            set_aside,
            ..
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
    let source = &source.resolved()?;
    let mut opened = source.open(&options.fetch, scratch.path())?;
    let content = content(&opened, options.network)?;
    let Read {
        layout,
        fitted,
        taken,
        assumed,
    } = match content {
        Content::Haiku(_) if options.strip_prefix.is_some() => return Err(ImportError::Prefix),
        Content::Haiku(tree) => read_haiku(tree, &opened, source, options)?,
        Content::Torch(state) => read_torch(state, &opened, source, options)?,
    };
    let Fitted {
        checkpoint,
        heads,
        ledger,
    } = fitted;
    let stem = checked_stem(&checkpoint, options)?;
    let imported = Imported {
        taken,
        assumed,
        stem,
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

/// What is in the files that were opened.
pub(crate) fn content(opened: &Opened, network: Network) -> Result<Content<'_>, SourceError> {
    match opened.shards() {
        Some((shards, tensors)) => source::open_shards(&shards, tensors),
        None => source::open(opened.bytes(), network, &Limits::default()),
    }
}

/// What was read of a source.
struct Read {
    layout: String,
    fitted: Fitted,
    taken: Option<String>,
    assumed: Option<Assumed>,
}

/// What begins the names of data sets that the published code normalises (`normalize_images` of its
/// `datasets/image_dataset.py`) …
const NORMALISED: &str = "imagenet";
/// … and a data set in the names of its checkpoints that it does not.
const NOT_NORMALISED: &str = "coco";

/// How the published code normalised what a checkpoint of this name was trained on.
fn published_normalization(name: &str) -> Normalization {
    let name = name.rsplit('/').next().unwrap_or_default().to_lowercase();
    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    match words.find(|word| word.starts_with(NORMALISED) || *word == NOT_NORMALISED) {
        Some(NOT_NORMALISED) => Normalization::NONE,
        _ => Normalization::IMAGENET,
    }
}

/// Refuses a normalisation that nobody stated and that the weights speak against.
fn checked_stem(
    checkpoint: &Checkpoint,
    options: &ImportOptions,
) -> Result<Option<StemCheck>, ImportError> {
    if options.averages == MovingAverages::Fresh {
        return Ok(None);
    }
    let check = StemCheck::of(checkpoint);
    if options.stated.normalization.is_some() {
        return Ok(check);
    }
    Ok(check.map(StemCheck::accepted).transpose()?)
}

/// Maps every entry by its name and fits the network that the names and the stem's shape tell.
fn read_haiku<'a>(
    tree: HaikuTree<'a>,
    file: &'a Opened,
    location: &Location,
    options: &ImportOptions,
) -> Result<Read, ImportError> {
    let architecture = infer_spec(tree.entries.iter().map(|entry| {
        (
            entry.module.as_str(),
            entry.name.as_str(),
            entry.array.shape(),
        )
    }))?;
    let origin = options
        .origin
        .clone()
        .unwrap_or_else(|| location.to_string());
    let convention = Convention::Published(published_normalization(&origin));
    let Settled { spec, assumed } = settle(architecture, &convention, &options.stated)?;
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
    let mut fitted = Checkpoint::fit(spec, source.collect(), options.averages)?;
    let unread = tree.set_aside.into_iter();
    fitted.ledger.set_aside.extend(unread.map(|it| SetAside {
        source: it.key,
        reason: it.reason.to_string(),
    }));
    Ok(Read {
        layout: tree.layout.to_string(),
        fitted,
        taken: None,
        assumed,
    })
}

fn read_torch<'a>(
    state: TensorFile<'a>,
    file: &'a Opened,
    location: &Location,
    options: &ImportOptions,
) -> Result<Read, ImportError> {
    let backbone = state.backbone(options.strip_prefix.as_deref())?;
    if options.averages == MovingAverages::Required {
        TensorFile::check_averages(&backbone)?;
    }
    let layout = state.layout(&backbone);
    let convention = torch_convention(&state, location, &options.stated)?;
    let architecture = backbone.architecture();
    let Settled { spec, assumed } = settle(architecture, &convention, &options.stated)?;
    let beside = state.beside(&backbone).into_iter();
    let unread: Vec<_> = beside
        .map(|(source, reason)| SetAside { source, reason })
        .collect();
    let source = state.into_destinations(&backbone).into_iter();
    let source = source.map(|(key, destination, array)| SourceTensor {
        key,
        destination,
        array: InPlace { array, file },
    });
    let mut fitted = Checkpoint::fit(spec, source.collect(), options.averages)?;
    fitted.ledger.set_aside.extend(unread);
    Ok(Read {
        layout,
        fitted,
        taken: backbone.usual().map(str::to_owned),
        assumed,
    })
}

/// What a state dict says of itself, or the directory that it lies in.
fn torch_convention(
    state: &TensorFile<'_>,
    location: &Location,
    stated: &Stated,
) -> Result<Convention, ImportError> {
    if let Some(spec) = state.declared() {
        return Ok(Convention::Declared(spec));
    }
    if let Some(spec) = beside(location)? {
        return Ok(Convention::Declared(spec));
    }
    Ok(Convention::Torch(match location {
        Location::File(path) => {
            let trusted = stated.arch.is_some();
            match transformers::beside(path, trusted)? {
                Some(configured) => configured,
                None => timm::beside(path, trusted)?,
            }
        }
        Location::Address(_) => Configured::default(),
    }))
}

/// The spec in the manifest of the model directory that a file is of.
fn beside(location: &Location) -> Result<Option<ResNetSpec>, FetchError> {
    match location {
        Location::File(path) => declared_beside(path).map_err(FetchError::io(path)),
        Location::Address(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_that_the_published_code_does_not_normalise_are_known_by_name() {
        for (name, expected) in [
            ("resnet50_detcon_b_imagenet_1k.npy", Normalization::IMAGENET),
            (
                "https://storage.googleapis.com/dm-detcon/resnet50_detcon_b_coco.npy",
                Normalization::NONE,
            ),
            ("resnet101_detcon_s_COCO_fh_1000ep.npy", Normalization::NONE),
            ("runs/coco/checkpoint.npy", Normalization::IMAGENET),
            ("imagenet_then_coco.npy", Normalization::IMAGENET),
            ("r50.npy", Normalization::IMAGENET),
        ] {
            assert_eq!(published_normalization(name), expected, "{name}");
        }
    }
}
