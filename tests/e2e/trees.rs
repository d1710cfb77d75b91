//! Every tree of the golden generator, at every size that matters: the same tensors in the same places, bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use detcon_converter::haiku::Network;
use detcon_converter::pickle::Limits;
use detcon_converter::source::{self, Content};
use detcon_core::checkpoint::sha256_f32;
use detcon_core::names::{Destination, HaikuNames, infer_spec};
use detcon_tests::golden;

/// Where each tensor of a checkpoint goes, how it is turned, and the digest of its values.
type Placed = BTreeMap<String, String>;

/// Reads a file as `import` does, up to where tensors are written.
fn placed(file: &Path, network: Network) -> Placed {
    let bytes = fs::read(file).unwrap();
    let Content::Haiku(tree) = source::open(&bytes, network, &Limits::default()).unwrap() else {
        panic!("{} is no haiku checkpoint", file.display())
    };
    let shapes = tree.entries.iter();
    let shapes = shapes.map(|it| (it.module.as_str(), it.name.as_str(), it.array.shape()));
    let names = HaikuNames::new(infer_spec(shapes).unwrap());
    let mut placed = Placed::new();
    for entry in &tree.entries {
        let (name, transform) = match names.destination(&entry.module, &entry.name).unwrap() {
            Destination::Backbone { name, transform } | Destination::Head { name, transform } => {
                (name, transform)
            }
            Destination::SetAside { .. } => continue,
            Destination::Nowhere => panic!("{} has no place", entry.key()),
        };
        let digest = sha256_f32(&entry.array.to_f32().unwrap());
        let place = format!("{transform:?} {:?} {digest}", entry.array.shape());
        assert_eq!(placed.insert(name, place), None, "{}", entry.key());
    }
    placed
}

/// Calls `check` with each tree's name and file. There is one file at a time.
fn for_each_tree(arch: &str, endings: &[&str], mut check: impl FnMut(&str, &Path)) {
    let folder = tempfile::tempdir_in(golden::workspace().join("target")).unwrap();
    let mut python = Command::new("python3")
        .arg(golden::workspace().join("tests/python/make_trees.py"))
        .args(["--arch", arch, "--seed", "0", "--golden"])
        .arg(golden::directory())
        .arg("--folder")
        .arg(folder.path())
        .arg("--endings")
        .args(endings)
        .env("PYTHONPATH", golden::workspace().join(".deps/python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut next = python.stdin.take().unwrap();
    for line in BufReader::new(python.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let (tree, file) = line.split_once('\t').unwrap();
        check(tree, Path::new(file));
        writeln!(next).unwrap();
    }
    assert!(python.wait().unwrap().success(), "make test fetches NumPy");
}

/// All trees of a network give the same; the number of trees.
fn trees_agree(arch: &str, endings: &[&str]) -> usize {
    let (mut first, mut count): (Option<Placed>, usize) = (None, 0);
    for_each_tree(arch, endings, |tree, file| {
        let found = placed(file, Network::Online);
        assert_eq!(
            first.get_or_insert_with(|| found.clone()),
            &found,
            "{tree} of {arch}"
        );
        count += 1;
    });
    count
}

#[test]
fn every_tree_gives_the_same_tensors_at_every_size() {
    let trees = trees_agree("resnet50", &["npy"]);
    assert!(trees > 1);
    assert_eq!(trees_agree("resnet200", &["npy"]), trees);
    assert_eq!(trees_agree("tiny", &["npy", "pkl"]), 2 * trees);
}

/// The generator's target network is the one of the next seed.
#[test]
fn the_target_network_is_read_from_the_tree_that_has_both() {
    let [online, target] = [0, 1].map(|seed| {
        placed(
            &golden::checkpoint("tiny", seed, "released"),
            Network::Online,
        )
    });
    assert_ne!(online, target);
    let both = golden::checkpoint("tiny", 0, "online");
    assert_eq!(placed(&both, Network::Online), online);
    assert_eq!(placed(&both, Network::Target), target);
}

/// What JAX, haiku and experiments pickle of the same network, but for the one whose weights are rounded.
#[test]
fn golden_pickles_hold_the_generators_tensors() {
    let expected = placed(&golden::checkpoint("tiny", 0, "released"), Network::Online);
    let mut compared = 0;
    for file in golden::files("checkpoints", &["npy", "pkl"]) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name.starts_with("tiny.") && !name.contains("bfloat16") {
            assert_eq!(placed(&file, Network::Online), expected, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 1);
}
