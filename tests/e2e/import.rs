//! `detcon-convert import`: whole models or nothing.

use std::fs;
use std::path::Path;

use detcon_converter::WriteError;
use detcon_converter::import::{ImportError, ImportOptions, import};
use detcon_converter::location::Location;
use detcon_core::files::{Existing, StageError};
use detcon_core::model::{ModelDirectory, ModelError};
use detcon_tests::{golden, models};

fn import_to(store: &Path, source: &Path, name: &str) -> Result<(), ImportError> {
    import(
        &Location::File(source.to_owned()),
        &store.join(name),
        &ImportOptions::default(),
    )
    .map(|_| ())
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All golden pickles of the tiny network hold the same weights, but for the rounded ones.
#[test]
fn every_golden_pickle_is_imported_to_the_same_weights_or_refused_and_leaves_nothing() {
    let store = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for path in golden::files("checkpoints", &["npy", "pkl"]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let before = entries(store.path());
        match import_to(store.path(), &path, name) {
            Ok(()) => {
                let model = ModelDirectory::open(&store.path().join(name)).unwrap();
                digests.push((
                    name.to_owned(),
                    model.manifest().files["model.safetensors"].sha256.clone(),
                ));
            }
            Err(error) => {
                assert!(name.starts_with("evil."), "{name}: {error}");
                assert!(
                    error
                        .to_string()
                        .contains("only data constructors are allowed"),
                    "{error}"
                );
                assert_eq!(entries(store.path()), before);
            }
        }
    }
    let exact: Vec<_> = digests
        .iter()
        .filter(|(name, _)| !name.contains("bfloat16"))
        .collect();
    assert!(
        exact.len() > 1 && exact.iter().all(|(_, digest)| *digest == exact[0].1),
        "{digests:?}"
    );
}

#[test]
fn a_truncated_checkpoint_leaves_nothing() {
    let store = tempfile::tempdir().unwrap();
    let whole = fs::read(golden::checkpoint("tiny", 0, "released")).unwrap();
    let cut = tempfile::NamedTempFile::new().unwrap();
    for length in [0, 1, 6, 100, 128, 200, whole.len() / 2, whole.len() - 1] {
        fs::write(cut.path(), &whole[..length]).unwrap();
        assert!(
            import_to(store.path(), cut.path(), "cut").is_err(),
            "{length} bytes were imported"
        );
        assert_eq!(entries(store.path()), [""; 0]);
    }
}

#[test]
fn a_model_that_is_there_is_replaced_only_when_asked() {
    let store = tempfile::tempdir().unwrap();
    let (first, second) = (
        golden::checkpoint("tiny", 0, "released"),
        golden::checkpoint("tiny", 1, "released"),
    );
    import_to(store.path(), &first, "tiny").unwrap();
    let before = ModelDirectory::open(&store.path().join("tiny"))
        .unwrap()
        .manifest()
        .files
        .clone();
    let error = import_to(store.path(), &second, "tiny").unwrap_err();
    assert!(
        matches!(
            error,
            ImportError::Write(WriteError::Stage(StageError::Exists { .. }))
        ),
        "{error}"
    );
    let options = ImportOptions {
        existing: Existing::Replace,
        ..ImportOptions::default()
    };
    import(
        &Location::File(second),
        &store.path().join("tiny"),
        &options,
    )
    .unwrap();
    let after = ModelDirectory::open(&store.path().join("tiny"))
        .unwrap()
        .manifest()
        .files
        .clone();
    assert_ne!(before["model.onnx"], after["model.onnx"]);
    assert_eq!(entries(store.path()), ["tiny"]);
}

#[test]
fn converting_twice_gives_the_same_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = golden::checkpoint("tiny", 0, "released");
    for store in [&first, &second] {
        import_to(store.path(), &source, "tiny").unwrap();
    }
    let files = |store: &tempfile::TempDir| {
        ModelDirectory::open(&store.path().join("tiny"))
            .unwrap()
            .manifest()
            .files
            .clone()
    };
    assert_eq!(files(&first), files(&second));
}

#[test]
fn a_damaged_model_directory_is_refused_with_the_file_that_is_damaged() {
    let model = models::imported("tiny", 0);
    for name in model.manifest().files.keys() {
        let store = tempfile::tempdir_in(golden::workspace().join("target")).unwrap();
        let place = models::link_into(store.path(), &model);
        let mut bytes = fs::read(place.join(name)).unwrap();
        fs::remove_file(place.join(name)).unwrap();
        let missing = ModelDirectory::open(&place).unwrap_err();
        assert!(
            matches!(&missing, ModelError::Damaged { name: found, .. } if found == name),
            "{missing}"
        );
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(place.join(name), &bytes).unwrap();
        let flipped = ModelDirectory::open(&place).unwrap_err();
        assert!(
            matches!(&flipped, ModelError::Damaged { name: found, .. } if found == name),
            "{flipped}"
        );
    }
}
