//! Detectron2's `.pkl`: NumPy arrays under the names of its ResNet backbone.
//!
//! `{"model": {"stem.conv1.weight": …, "stem.conv1.norm.weight": …, "res2.0.conv1.weight": …,
//! "res2.0.shortcut.norm.running_var": …}, "__author__": …, "matching_heuristics": True}`. Its loader finds the
//! backbone of a whole detector by the names' endings.

use std::io::{self, Write};

use detcon_core::checkpoint::Checkpoint;

use super::pickle::PickleWriter;

/// Writes the `.pkl` file. Detectron2's loader prints its author: that is who wrote the file, and of what; of how the
/// weights were trained it says nothing.
pub(super) fn write(checkpoint: &Checkpoint, source: &str, output: impl Write) -> io::Result<()> {
    let author = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let mut pickle = PickleWriter::new(output)?;
    pickle.mapping(|pickle| {
        pickle.text("model")?;
        pickle.mapping(|pickle| {
            checkpoint.spec().params().iter().try_for_each(|param| {
                let tensor = checkpoint.get(&param.name);
                pickle.text(&name(&param.name))?;
                pickle.array(tensor.shape(), tensor.values())
            })
        })?;
        pickle.text("__author__")?;
        pickle.text(&format!("{author}, from {source}"))?;
        pickle.text("matching_heuristics")?;
        pickle.truth(true)
    })?;
    pickle.finish()?.flush()
}

/// `layer1.0.bn2.weight` → `res2.0.conv2.norm.weight`.
fn name(torchvision: &str) -> String {
    let mut parts: Vec<String> = torchvision.split('.').map(str::to_owned).collect();
    match parts[0]
        .strip_prefix("layer")
        .and_then(|group| group.parse::<usize>().ok())
    {
        Some(group) => parts[0] = format!("res{}", group + 1),
        None => parts.insert(0, "stem".to_owned()),
    }
    parts
        .join(".")
        .replace("downsample.0", "shortcut")
        .replace("downsample.1", "shortcut.norm")
        .replace(".bn1.", ".conv1.norm.")
        .replace(".bn2.", ".conv2.norm.")
        .replace(".bn3.", ".conv3.norm.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As documented for `ResNet` of detectron2.modeling.backbone.
    #[test]
    fn names_are_detectron2s() {
        for (ours, theirs) in [
            ("conv1.weight", "stem.conv1.weight"),
            ("bn1.running_mean", "stem.conv1.norm.running_mean"),
            ("layer1.0.conv1.weight", "res2.0.conv1.weight"),
            ("layer3.5.bn3.running_var", "res4.5.conv3.norm.running_var"),
            ("layer4.0.downsample.0.weight", "res5.0.shortcut.weight"),
            ("layer4.0.downsample.1.bias", "res5.0.shortcut.norm.bias"),
        ] {
            assert_eq!(name(ours), theirs);
        }
    }
}
