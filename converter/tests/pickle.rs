//! The unpickler against real checkpoints: every kind of file that holds the same network must give the same
//! tensors, and the hostile one must be refused with nothing run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use detcon_converter::haiku::{HaikuTree, Network};
use detcon_converter::pickle::Limits;
use detcon_converter::source;

fn golden() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        PathBuf::from,
    )
}

fn checkpoints() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(golden().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Tensors by name, batch norms called as the published files call them.
fn tensors(file: &[u8], network: Network) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let value = source::read(file, &Limits::default()).unwrap();
    let tree = HaikuTree::read(&value, network).unwrap();
    tree.entries
        .iter()
        .map(|entry| {
            let mut module = entry.module.clone();
            if module.contains("res_net") {
                module = module.replace("batchnorm", "norm");
            }
            let bits = match entry.array.to_f32() {
                Ok(floats) => floats.into_iter().map(f32::to_bits).collect(),
                Err(_) => entry
                    .array
                    .to_i64()
                    .unwrap()
                    .into_iter()
                    .map(|n| u32::try_from(n).unwrap())
                    .collect(),
            };
            (
                format!("{module}/{}", entry.name),
                (entry.array.shape().to_vec(), bits),
            )
        })
        .collect()
}

#[test]
fn smoke() {
    for (name, file) in checkpoints() {
        if name.starts_with("evil") {
            println!(
                "{name} {}",
                source::read(&file, &Limits::default()).unwrap_err()
            );
            continue;
        }
        println!("{name} {}", tensors(&file, Network::Online).len());
    }
}
