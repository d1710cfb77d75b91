//! Every golden checkpoint holds the same network and must give the same tensors; the hostile one is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use detcon_converter::haiku::{HaikuTree, Layout, Network, Reason};
use detcon_converter::pickle::{Array, DType, Limits, PickleError, Verdict};
use detcon_converter::source::{self, SourceError};

pub(crate) fn folder() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        PathBuf::from,
    )
}

/// The checkpoints by file name. The hostile ones' names start with `evil`.
fn checkpoints(hostile: bool) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder().join("checkpoints")).unwrap();
    let files: BTreeMap<_, _> = files
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .filter(|(name, _)| name.starts_with("evil") == hostile)
        .collect();
    assert!(!files.is_empty());
    files
}

/// Shape and elements, floats as bits.
#[derive(Debug, PartialEq)]
struct Tensor {
    shape: Vec<usize>,
    elements: Vec<i64>,
    /// How many low bits of a float the file's type does not hold.
    missing_bits: u32,
}

fn tensor(array: &Array<'_>) -> Tensor {
    let elements = match array.to_f32() {
        Ok(floats) => floats
            .into_iter()
            .map(|float| i64::from(float.to_bits()))
            .collect(),
        Err(_) => array.to_i64().unwrap(),
    };
    let missing_bits = if array.dtype() == DType::BF16 { 16 } else { 0 };
    Tensor {
        shape: array.shape().to_vec(),
        elements,
        missing_bits,
    }
}

/// Tensors by key; batch norms are called as the published files call them.
fn tensors(file: &[u8], network: Network) -> BTreeMap<String, Tensor> {
    let value = source::read(file, &Limits::default()).unwrap();
    let tree = HaikuTree::read(&value, network).unwrap();
    let renamed = |key: String| {
        if key.contains("res_net") {
            key.replace("batchnorm", "norm")
        } else {
            key
        }
    };
    tree.entries
        .iter()
        .map(|entry| (renamed(entry.key()), tensor(&entry.array)))
        .collect()
}

/// bfloat16's nearest neighbour of a float, ties to even.
fn rounded(tensor: &Tensor) -> Tensor {
    let round = |&bits: &i64| {
        let float = f32::from_bits(u32::try_from(bits).unwrap());
        i64::from(half::bf16::from_f32(float).to_f32().to_bits())
    };
    Tensor {
        shape: tensor.shape.clone(),
        elements: tensor.elements.iter().map(round).collect(),
        missing_bits: 16,
    }
}

#[test]
fn every_kind_of_checkpoint_gives_the_same_tensors() {
    let files = checkpoints(false);
    let released = tensors(&files["tiny.released.npy"], Network::Online);
    for (name, file) in &files {
        let found = tensors(file, Network::Online);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            released.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (key, expected) in &released {
            let found = &found[key];
            let expected = if found.missing_bits == 0 {
                expected
            } else {
                &rounded(expected)
            };
            assert_eq!(found, expected, "{name}: {key}");
        }
    }
}

#[test]
fn the_entries_are_those_of_the_layout() {
    let layout: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("layouts/tiny.json")).unwrap())
            .unwrap();
    let expected: BTreeMap<String, Vec<usize>> = ["params", "state"]
        .iter()
        .flat_map(|part| layout[part].as_array().unwrap())
        .map(|row| serde_json::from_value::<(String, String, Vec<usize>)>(row.clone()).unwrap())
        .map(|(module, name, shape)| (format!("{module}/{name}"), shape))
        .collect();
    for (name, file) in checkpoints(false) {
        let value = source::read(&file, &Limits::default()).unwrap();
        let tree = HaikuTree::read(&value, Network::Online).unwrap();
        let found: BTreeMap<_, _> = tree
            .entries
            .iter()
            .map(|entry| (entry.key(), entry.array.shape().to_vec()))
            .collect();
        if tree.layout == Layout::Released {
            assert_eq!(found.len(), expected.len(), "{name}");
        } else {
            assert_eq!(found, expected, "{name}");
        }
    }
}

/// The experiment's target network is another network of the same shapes.
#[test]
fn an_experiment_gives_either_network_and_lists_the_rest() {
    let files = checkpoints(false);
    let value = source::read(&files["tiny.byol.pkl"], &Limits::default()).unwrap();
    let online = HaikuTree::read(&value, Network::Online).unwrap();
    let target = HaikuTree::read(&value, Network::Target).unwrap();
    assert!(
        matches!(&target.layout, Layout::ExperimentState { network: Network::Target, class }
        if class == "byol.byol_experiment._ByolExperimentState")
    );
    let keys = |tree: &HaikuTree<'_>| {
        tree.entries
            .iter()
            .map(detcon_converter::haiku::Entry::key)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&online), keys(&target));
    let weights = |tree: &HaikuTree<'_>| {
        tensor(
            &tree
                .entries
                .iter()
                .find(|entry| entry.name == "w")
                .unwrap()
                .array,
        )
    };
    assert_ne!(weights(&online), weights(&target));

    let other = Reason::OtherNetwork(Network::Target);
    assert_eq!(
        online
            .set_aside
            .iter()
            .filter(|value| value.reason == other)
            .count(),
        target.entries.len()
    );
    for (reason, start) in [
        (Reason::Optimizer, "opt_state/1/"),
        (Reason::Progress, "step"),
        (Reason::RandomKey, "rng"),
    ] {
        let found = online.set_aside.iter().find(|value| value.reason == reason);
        assert!(
            found.is_some_and(|value| value.key.starts_with(start)),
            "{reason:?}"
        );
    }
    assert_eq!(online.devices(), None);
}

#[test]
fn a_hostile_checkpoint_is_refused_by_name_and_place() {
    for (name, file) in checkpoints(true) {
        let error = source::read(&file, &Limits::default()).unwrap_err();
        let SourceError::Pickle(PickleError::ForbiddenGlobal {
            module,
            name: global,
            offset,
        }) = &error
        else {
            panic!("{name}: {error}");
        };
        let listed = source::globals(&file, &Limits::default()).unwrap();
        assert_eq!(listed.stopped, None, "{name}");
        let forbidden: Vec<_> = listed
            .uses
            .iter()
            .filter(|found| found.verdict == Verdict::Refused)
            .collect();
        assert_eq!(forbidden.len(), 1, "{name}");
        assert_eq!(
            (
                &*forbidden[0].module,
                &*forbidden[0].name,
                forbidden[0].offset
            ),
            (&**module, &**global, *offset)
        );
        let message = error.to_string();
        assert!(
            message.contains(&format!("wants to call {module}.{global} at byte {offset}")),
            "{message}"
        );
    }
}

/// Each file that the command would make is looked for after reading.
#[test]
fn a_hostile_checkpoint_runs_nothing() {
    for (name, file) in checkpoints(true) {
        let text = String::from_utf8_lossy(&file);
        let made = text
            .split("touch ")
            .nth(1)
            .expect("the hostile file touches a file");
        let end = made
            .find(|character: char| !matches!(character, '/' | '_' | '.' | 'a'..='z' | '0'..='9'));
        let made = Path::new(&made[..end.unwrap()]);
        assert!(
            !made.exists(),
            "{} exists before the test: something else ran {name}",
            made.display()
        );
        assert!(source::read(&file, &Limits::default()).is_err());
        source::globals(&file, &Limits::default()).unwrap();
        assert!(!made.exists(), "{name} ran its command");
    }
}
