//! Folders that hubs and their libraries read: weights, configuration, and a model card.

use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::Checkpoint;
use detcon_core::files::{Existing, StagedDirectory};
use detcon_core::model::{ModelDirectory, file};
use serde_json::Value;

use super::model_card::{Software, model_card};
use super::{ExportError, Kernels, Target, io, safetensors_of, torchvision, transformers};
use crate::timm;

/// The model card's name.
const README: &str = "README.md";
/// The configuration's, which both libraries read.
const CONFIG: &str = file::TIMM_CONFIG;

pub(super) fn timm(
    directory: &ModelDirectory,
    checkpoint: &Checkpoint,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let manifest = directory.manifest();
    let size = manifest.preprocess.size();
    let unfit = || ExportError::Unfit {
        target: Target::Timm,
        spec: Box::new(manifest.spec),
        reason: "it has no such network",
    };
    let config = timm::config(checkpoint.spec(), size, manifest.license.as_deref());
    let software = Software {
        library: "timm",
        load: format!(
            "model = timm.create_model(\"local-dir:{}\", pretrained=True).eval()",
            manifest.name
        ),
    };
    let card = model_card(manifest, checkpoint, &directory.self_check()?, &software);
    let staged = StagedDirectory::new(place, existing)?;
    let weights = staged.path().join(file::BACKBONE);
    torchvision::write(checkpoint, Kernels::AsTheyAre, &weights).map_err(safetensors_of(place))?;
    let texts = [(CONFIG, text(&config.ok_or_else(unfit)?)), (README, card)];
    finish(staged, place, &texts)
}

pub(super) fn transformers(
    directory: &ModelDirectory,
    checkpoint: &Checkpoint,
    place: &Path,
    existing: Existing,
) -> Result<Vec<PathBuf>, ExportError> {
    let manifest = directory.manifest();
    let spec = checkpoint.spec();
    let software = Software {
        library: "transformers",
        load: format!(
            "model = transformers.ResNetModel.from_pretrained(\"{}\").eval()",
            manifest.name
        ),
    };
    let card = model_card(manifest, checkpoint, &directory.self_check()?, &software);
    let processor = transformers::preprocessor_config(spec, manifest.preprocess.size());
    let staged = StagedDirectory::new(place, existing)?;
    let weights = staged.path().join(file::BACKBONE);
    transformers::write(checkpoint, &weights).map_err(safetensors_of(place))?;
    let texts = [
        (CONFIG, text(&transformers::config(spec))),
        (transformers::PREPROCESSOR_CONFIG, text(&processor)),
        (README, card),
    ];
    finish(staged, place, &texts)
}

fn text(json: &Value) -> String {
    format!("{json:#}\n")
}

fn finish(
    staged: StagedDirectory,
    place: &Path,
    texts: &[(&str, String)],
) -> Result<Vec<PathBuf>, ExportError> {
    for (name, text) in texts {
        fs::write(staged.path().join(name), text).map_err(|source| io(place, source))?;
    }
    staged.commit()?;
    Ok(vec![place.to_owned()])
}
