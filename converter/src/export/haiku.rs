//! The published layout: one mapping of haiku's modules, parameters and moving averages merged, batch norms
//! called `norm_0`, `initial_norm` …, in a `.npy` file of one object.
//!
//! Importing such a file gives the same weights and heads. A model directory does not keep the internal state of
//! moving averages, so `hidden` is written as the average itself, with a `counter` from which zero-debiasing
//! changes nothing: training goes on from it as from a network that has trained for long.

use std::collections::BTreeMap;
use std::io::{self, Write};

use detcon_core::arch::{BatchNormField, ParamKind};
use detcon_core::checkpoint::{Checkpoint, Tensor, Tensors};

use super::pickle::PickleWriter;
use crate::npy;

/// Updates after which `1 − 0.9^counter` is 1 in float32 (upstream's decay is 0.9).
const COUNTER: i32 = 1000;

/// A value of a module.
enum Entry {
    Array(Tensor),
    Counter,
}

/// Modules in the order of their names, and the entries of each in theirs.
type Tree = BTreeMap<String, BTreeMap<&'static str, Entry>>;

/// Writes the `.npy` file.
pub(super) fn write(
    checkpoint: &Checkpoint,
    heads: &Tensors,
    mut output: impl Write,
) -> io::Result<()> {
    let tree = tree(checkpoint, heads)?;
    output.write_all(&npy::object_header())?;
    let mut pickle = PickleWriter::new(output)?;
    pickle.boxed(|pickle| {
        pickle.mapping(|pickle| {
            for (module, entries) in &tree {
                pickle.text(module)?;
                pickle.mapping(|pickle| {
                    entries.iter().try_for_each(|(name, entry)| {
                        pickle.text(name)?;
                        match entry {
                            Entry::Array(tensor) => pickle.array(tensor.shape(), tensor.values()),
                            Entry::Counter => pickle.int32(COUNTER),
                        }
                    })
                })?;
            }
            Ok(())
        })
    })?;
    pickle.finish()?.flush()
}

fn tree(checkpoint: &Checkpoint, heads: &Tensors) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let network = checkpoint.spec().depth().haiku_module();
    for param in checkpoint.spec().params() {
        let path = param
            .haiku
            .module
            .replace("batchnorm", "norm")
            .replace('/', "/~/");
        let module = format!("{network}/~/{path}");
        let tensor = checkpoint.get(&param.name);
        match param.kind {
            ParamKind::Conv(_) => {
                insert(&mut tree, module, param.haiku.name, hwio(tensor));
            }
            ParamKind::BatchNorm(field) => {
                let vector = Tensor::new(param.haiku_shape(), tensor.values().to_vec());
                insert_field(&mut tree, module, field, vector);
            }
        }
    }
    for (name, tensor) in heads {
        let unknown = || {
            io::Error::other(format!(
                "heads.safetensors holds {name}, which no head of DetCon has"
            ))
        };
        head(&mut tree, name, tensor, heads).ok_or_else(unknown)?;
    }
    Ok(tree)
}

fn insert(tree: &mut Tree, module: String, name: &'static str, tensor: Tensor) {
    tree.entry(module)
        .or_default()
        .insert(name, Entry::Array(tensor));
}

/// `module` is the batch norm's, or for a moving average the average's own.
fn insert_field(tree: &mut Tree, module: String, field: BatchNormField, tensor: Tensor) {
    match field {
        BatchNormField::Scale | BatchNormField::Offset => {
            insert(tree, module, field.haiku().1, tensor);
        }
        BatchNormField::Mean | BatchNormField::Variance => {
            let entries = tree.entry(module).or_default();
            entries.insert("average", Entry::Array(tensor.clone()));
            entries.insert("hidden", Entry::Array(tensor));
            entries.insert("counter", Entry::Counter);
        }
    }
}

/// `projector.batch_norm.running_mean` → `projector/batch_norm/~/mean_ema`. Nothing where no head has such a tensor.
fn head(tree: &mut Tree, name: &str, tensor: &Tensor, heads: &Tensors) -> Option<()> {
    let (path, field) = name.rsplit_once('.')?;
    let module = path.replace('.', "/");
    if heads.contains_key(&format!("{path}.running_mean")) {
        let field = BatchNormField::ALL
            .into_iter()
            .find(|row| row.torch_name() == field)?;
        let module = match field.haiku().0 {
            "" => module,
            average => format!("{module}/~{average}"),
        };
        let [channels] = tensor.shape() else {
            return None;
        };
        let vector = Tensor::new(vec![1, 1, *channels], tensor.values().to_vec());
        insert_field(tree, module, field, vector);
        return Some(());
    }
    match (field, tensor.shape()) {
        ("weight", &[outputs, inputs]) => {
            let transposed = transpose(tensor.values(), outputs, inputs);
            insert(
                tree,
                module,
                "w",
                Tensor::new(vec![inputs, outputs], transposed),
            );
        }
        ("bias", [_]) => insert(tree, module, "b", tensor.clone()),
        _ => return None,
    }
    Some(())
}

/// `[O, I, H, W]` → `[H, W, I, O]`: each output's matrix transposed, then the whole.
fn hwio(kernel: &Tensor) -> Tensor {
    let &[outputs, inputs, height, width] = kernel.shape() else {
        unreachable!("the table's kernels have four axes");
    };
    let area = height * width;
    let kernels: Vec<f32> = kernel
        .values()
        .chunks(inputs * area)
        .flat_map(|kernel| transpose(kernel, inputs, area))
        .collect();
    let values = transpose(&kernels, outputs, area * inputs);
    Tensor::new(vec![height, width, inputs, outputs], values)
}

fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}
