//! Folders as the Hugging Face Hub lays them out: which file in one holds the weights, and which files an index of shards
//! names.
//!
//! Source: `SAFE_WEIGHTS_NAME` and its kin in transformers' `utils/__init__.py`; `weight_map` in
//! `get_checkpoint_shard_files` of transformers' `utils/hub.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::fetch::FetchError;

/// Names of files of weights, the one that is taken first.
const WEIGHTS: [&str; 5] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.safetensors",
    "flax_model.msgpack",
];
/// What an index of shards ends in.
const INDEX: &str = ".safetensors.index.json";
/// The longest index that is read: 160 bytes a tensor for a hundred thousand.
const MAX_INDEX: u64 = 16 << 20;
/// Most shards. A shard of a ResNet is all of it.
const MAX_SHARDS: usize = 100;

/// The weights that an index names.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Files, each once, by name.
    pub(crate) files: Vec<PathBuf>,
    /// Names of the tensors that must be in them.
    pub(crate) tensors: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The file of weights in a folder.
pub(crate) fn weights(folder: &Path) -> Result<PathBuf, FetchError> {
    let there = WEIGHTS.iter().map(|name| folder.join(name));
    there
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| FetchError::NoWeights {
            folder: folder.to_owned(),
            expected: WEIGHTS.join(", "),
        })
}

/// Whether a file is an index of shards, by its name.
pub(crate) fn is_index(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().ends_with(INDEX)
}

/// What an index names: files beside it, and none elsewhere.
pub(crate) fn shards(index: &Path) -> Result<Shards, FetchError> {
    let damaged = |detail: String| FetchError::Index {
        path: index.to_owned(),
        detail,
    };
    let length = index.metadata().map_err(FetchError::io(index))?.len();
    if length > MAX_INDEX {
        return Err(damaged(format!(
            "it has {length} bytes, and {MAX_INDEX} is the most allowed"
        )));
    }
    let text = std::fs::read(index).map_err(FetchError::io(index))?;
    let Index { weight_map } =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let mut files: Vec<&String> = weight_map.values().collect();
    files.sort();
    files.dedup();
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|it| it == name);
    if let Some(name) = files.iter().find(|name| !plain(name)) {
        return Err(damaged(format!("{name:?} is no name of a file beside it")));
    }
    if files.is_empty() || files.len() > MAX_SHARDS {
        return Err(damaged(format!(
            "it names {} files, and 1 to {MAX_SHARDS} are read",
            files.len()
        )));
    }
    Ok(Shards {
        files: files
            .into_iter()
            .map(|name| index.with_file_name(name))
            .collect(),
        tensors: weight_map.into_keys().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_beside_it_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        assert!(is_index(&index));
        let named = |file: &str| {
            let text = serde_json::json!({"metadata": {}, "weight_map": {"a": file, "b": "two.safetensors"}});
            std::fs::write(&index, text.to_string()).unwrap();
            shards(&index)
        };
        let found = named("one.safetensors").unwrap();
        assert_eq!((found.files.len(), found.tensors.len()), (2, 2));
        for elsewhere in ["../one.safetensors", "/etc/passwd", "a/b", "..", ""] {
            assert!(named(elsewhere).is_err(), "{elsewhere}");
        }
        std::fs::write(&index, "[]").unwrap();
        assert!(shards(&index).is_err());
    }

    #[test]
    fn a_folder_without_weights_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = weights(folder.path()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
        std::fs::write(folder.path().join("pytorch_model.bin"), b"").unwrap();
        let found = weights(folder.path()).unwrap();
        assert!(found.ends_with("pytorch_model.bin"));
    }
}
