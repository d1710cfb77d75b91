//! Checkpoints as people have them: each kind of file with the tiny network in it, named and wrapped as its software does.

mod attacks;
mod formats;
mod network;
mod objects;
mod pickled;
mod software;

use std::path::{Path, PathBuf};

use detcon_converter::import::{ImportError, ImportOptions, Imported, import};
use detcon_converter::location::Location;
use detcon_core::checkpoint::Ledger;
use detcon_core::model::ModelDirectory;

/// A file, and what became of it.
struct Case {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Case {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        Self { folder, file }
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    fn import(&self, options: &ImportOptions) -> Result<Imported, ImportError> {
        import(&Location::File(self.file.clone()), &self.place(), options)
    }

    /// What the ledger says was set aside, each with its reason.
    fn aside(&self) -> Vec<(String, String)> {
        let text = std::fs::read(self.place().join("ledger.json")).unwrap();
        let ledger: Ledger = serde_json::from_slice(&text).unwrap();
        let rows = ledger.set_aside.into_iter();
        rows.map(|row| (row.source, row.reason)).collect()
    }

    /// The digest of the weights that were imported.
    fn weights(&self) -> String {
        weights(&self.place())
    }

    /// What a refusal says, and that it leaves nothing.
    fn refused(&self, options: &ImportOptions) -> String {
        let error = self.import(options).unwrap_err().to_string();
        assert!(!self.place().exists(), "{error}");
        assert!(!error.contains('\n'), "{error}");
        error
    }
}

fn weights(model: &Path) -> String {
    let model = ModelDirectory::open(model).unwrap();
    model.manifest().files["model.safetensors"].sha256.clone()
}

fn named(place: &str) -> ImportOptions {
    ImportOptions {
        strip_prefix: Some(place.to_owned()),
        ..ImportOptions::default()
    }
}
