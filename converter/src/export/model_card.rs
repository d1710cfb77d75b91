//! The README.md of an exported folder: what the model is, where it came from, what it gives. It says what the manifest
//! knows, and of the rest that it is not known.

use detcon_core::arch::{Padding, ResNetSpec};
use detcon_core::checkpoint::Checkpoint;
use detcon_core::model::{Manifest, SelfCheck, UNKNOWN_LICENSE};

/// The software that a folder is for.
pub(super) struct Software {
    /// As hubs call it.
    pub(super) library: &'static str,
    /// A line of Python that loads the folder.
    pub(super) load: String,
}

/// The model card, with the front matter that hubs read.
pub(super) fn model_card(
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    check: &SelfCheck,
    software: &Software,
) -> String {
    let Manifest {
        name,
        source,
        embedding_size,
        ..
    } = manifest;
    let spec = checkpoint.spec();
    let license = manifest.license.as_deref().unwrap_or(UNKNOWN_LICENSE);
    let sha256 = source.sha256.as_deref().unwrap_or("none");
    let parameters: usize = checkpoint
        .tensors()
        .iter()
        .filter(|(name, _)| !name.contains(".running_"))
        .map(|(_, tensor)| tensor.values().len())
        .sum();
    let [_, height, width, _] = check.shape;
    format!(
        "---
license: {license}
library_name: {library}
pipeline_tag: image-feature-extraction
tags: [{library}, image-feature-extraction]
---
# {name}

A {network} backbone. {training}

| | |
| --- | --- |
| embedding | {embedding_size} values |
| parameters | {parameters} |
| input | RGB 0 … 255, divided by {divisor}, less {mean:?}, divided by {std:?} |
| padding | {padding} |
| source | {uri} |
| source SHA-256 | {sha256} |
| source layout | {layout} |
| license | {license} |

```python
{load}
```

## Metrics
| what | value |
| --- | --- |
| allowed error to the reference forward pass, {height}×{width} noise | {tolerance:.0e} of the largest magnitude |

{note}
",
        network = spec.architecture(),
        training = training(manifest),
        library = software.library,
        load = software.load,
        divisor = spec.normalization().divisor(),
        mean = spec.normalization().mean(),
        std = spec.normalization().std(),
        padding = spec.padding(),
        uri = source.uri,
        layout = source.layout,
        tolerance = check.tolerance,
        note = padding_note(spec, software.library),
    )
}

/// How the weights were trained, as far as the source told.
fn training(manifest: &Manifest) -> String {
    match &manifest.training {
        Some(training) => format!(
            "Trained with {} for {} steps.",
            training.method, training.steps
        ),
        None if manifest.pretrained => {
            "The source does not say how its weights were trained.".to_owned()
        }
        None => "Untrained: the weights are random.".to_owned(),
    }
}

fn padding_note(spec: ResNetSpec, library: &str) -> String {
    match spec.padding() {
        Padding::Symmetric => {
            format!(
                "The network pads both sides alike, as {library} does: it is the same at every size."
            )
        }
        Padding::Same => format!(
            "The network pads as TensorFlow's SAME does, which puts the odd row and column at the bottom and right. {library} \
             pads on both sides: the same at heights and widths ≡ 1 mod 32 (225, 257 …), not at others (4.5 % off at \
             224×224 for a ResNet-50 of random weights)."
        ),
    }
}
