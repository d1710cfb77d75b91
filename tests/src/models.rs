//! Model directories made from the golden generator's checkpoints by the converter, once a process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_converter::quantize::{Method, QuantizeOptions, Target, quantize};
use detcon_core::files::Existing;
use detcon_core::model::ModelDirectory;

use crate::{golden, service};

/// The model directory of a golden network, imported from the published layout.
#[must_use]
pub fn imported(arch: &str, seed: u64) -> ModelDirectory {
    made(&format!("{arch}.{seed}"), || {
        golden::checkpoint(arch, seed, "released")
    })
}

/// The model directory of one of torchvision's golden networks.
#[must_use]
pub fn imported_from_torch(arch: &str, seed: u64) -> ModelDirectory {
    made(&format!("torch.{arch}.{seed}"), || {
        golden::torch_checkpoint(arch, seed)
    })
}

fn made(name: &str, checkpoint: impl FnOnce() -> PathBuf) -> ModelDirectory {
    static MADE: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().expect("no import panicked");
    let place = made.entry(name.to_owned()).or_insert_with(|| {
        let place = store().join(name);
        let source = Location::File(checkpoint());
        import(&source, &place, &ImportOptions::default()).expect("a checkpoint is imported");
        place
    });
    ModelDirectory::open(place).expect("an imported model is whole")
}

/// A store in `target/` that is empty when the process starts.
fn store() -> &'static Path {
    static STORE: LazyLock<PathBuf> = LazyLock::new(|| {
        let store = golden::workspace().join("target/test-data/store");
        let _ = fs::remove_dir_all(&store); // there is none the first time
        fs::create_dir_all(&store).expect("target/ can be written");
        store
    });
    &STORE
}

/// Adds int8 to the model at `place`, calibrated on the golden photographs, and measured on them where that is wanted.
#[must_use]
pub fn quantized(place: &Path, measured: bool) -> ModelDirectory {
    let photographs = golden::directory().join("images");
    let options = QuantizeOptions {
        target: Target::Int8 {
            calibrate: photographs.clone(),
            method: Method::Mse,
            held_out: measured.then_some(photographs),
        },
        most: 8,
        existing: Existing::Keep,
    };
    quantize(place, &service::library(), &options).expect("there are photographs to calibrate on");
    ModelDirectory::open(place).expect("a quantized model is whole")
}

/// Copies a model directory into `store`, to be served or damaged there. Files are linked, not copied: a test
/// that changes one must replace it.
#[must_use]
pub fn link_into(store: &Path, model: &ModelDirectory) -> PathBuf {
    let place = store.join(model.manifest().name.as_str());
    fs::create_dir_all(&place).expect("a temporary folder can be written");
    for entry in fs::read_dir(model.path()).expect("a model directory can be read") {
        let entry = entry.expect("a folder's entry");
        fs::hard_link(entry.path(), place.join(entry.file_name()))
            .expect("files of one file system can be linked");
    }
    place
}
