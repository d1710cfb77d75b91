//! The README.md of a timm folder: what the model is, where it came from, what it gives.

use detcon_core::checkpoint::Checkpoint;
use detcon_core::model::{Manifest, SelfCheck};

/// The model card, with the front matter that hubs read.
pub(super) fn model_card(
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    check: &SelfCheck,
) -> String {
    let Manifest {
        name,
        spec,
        source,
        embedding_size,
        ..
    } = manifest;
    let license = manifest.license.as_deref().unwrap_or("unknown");
    let sha256 = source.sha256.as_deref().unwrap_or("none");
    let training = if manifest.pretrained {
        "Pretrained with DetCon (\"Efficient Visual Pretraining with Contrastive Detection\", ICCV 2021)."
    } else {
        "Untrained: the weights are random."
    };
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
library_name: timm
pipeline_tag: image-feature-extraction
tags: [timm, image-feature-extraction, detcon]
---
# {name}

A {spec} backbone. {training}

| | |
| --- | --- |
| embedding | {embedding_size} values |
| parameters | {parameters} |
| input | RGB, scaled to [0, 1], mean {mean:?}, standard deviation {std:?} |
| source | {uri} |
| source SHA-256 | {sha256} |
| source layout | {layout} |
| license | {license} |

```python
model = timm.create_model(\"local-dir:{name}\", pretrained=True).eval()
```

## Metrics
| what | value |
| --- | --- |
| allowed error to the reference forward pass, {height}×{width} noise | {tolerance:.0e} of the largest magnitude |
| error of torch's padding at 224×224 with random weights | 4.5 % |
| error of torch's padding at 225×225 | none |

The network was trained with TensorFlow's SAME padding, which puts the odd row and column at the bottom and right.
timm pads on both sides: the same at heights and widths ≡ 1 mod 32 (225, 257 …), not at others.
",
        mean = detcon_core::arch::INPUT_MEAN,
        std = detcon_core::arch::INPUT_STD,
        uri = source.uri,
        layout = source.layout,
        tolerance = check.tolerance,
    )
}
