//! The backbone's forward pass, block by block.
//!
//! Source: `ResNet.__call__`, `BlockV1.__call__`, `BlockV2.__call__` of dm-haiku 0.0.11, and `normalize_images` of the
//! published code; what the spec says otherwise is as in torchvision's `models/resnet.py`.

use detcon_core::arch::{Block, ChannelOrder, Normalization, ResNetSpec, Stage, Version, Window};
use tch::Tensor;

use super::layers::{Pass, max_pool};

impl Pass<'_> {
    /// c5 of `images`: float32 `[N, 3, H, W]`, RGB in [0, 1] → `[N, C, ⌈H/32⌉, ⌈W/32⌉]`.
    pub fn backbone(&mut self, spec: ResNetSpec, images: &Tensor) -> Tensor {
        self.stage(spec, images, Stage::C5)
    }

    /// The features of a stage, likewise with its stride. What comes after it is not computed.
    pub fn stage(&mut self, spec: ResNetSpec, images: &Tensor, stage: Stage) -> Tensor {
        let input = channels_last(&normalise(spec.normalization(), images));
        let mut x = self.conv("conv1", spec.stem(), &input);
        if spec.version() == Version::V1 {
            x = self.batch_norm("bn1", &x).relu();
        }
        x = max_pool(&x, spec.padding(), Window::STEM_POOL);
        let blocks = spec.blocks().into_iter();
        for block in blocks.take_while(|block| Stage::ALL[block.group] <= stage) {
            x = match spec.version() {
                Version::V1 => self.block_v1(&block, &x),
                Version::V2 => self.block_v2(&block, &x),
            };
        }
        match (spec.version(), stage) {
            (Version::V2, Stage::C5) => self.batch_norm("norm", &x).relu(),
            (Version::V2, Stage::C2 | Stage::C3 | Stage::C4) | (Version::V1, _) => x,
        }
    }

    fn block_v1(&mut self, block: &Block, input: &Tensor) -> Tensor {
        let name = block.name();
        let shortcut = block.shortcut.map(|conv| {
            let projected = self.conv(&format!("{name}.downsample.0"), conv, input);
            self.batch_norm(&format!("{name}.downsample.1"), &projected)
        });
        let mut x = input.shallow_clone();
        for (i, &conv) in (1..).zip(&block.convs) {
            x = self.conv(&format!("{name}.conv{i}"), conv, &x);
            x = self.batch_norm(&format!("{name}.bn{i}"), &x);
            if i < block.convs.len() {
                x = x.relu();
            }
        }
        (x + shortcut.as_ref().unwrap_or(input)).relu()
    }

    fn block_v2(&mut self, block: &Block, input: &Tensor) -> Tensor {
        let name = block.name();
        let mut shortcut = input.shallow_clone();
        let mut x = input.shallow_clone();
        for (i, &conv) in (1..).zip(&block.convs) {
            x = self.batch_norm(&format!("{name}.bn{i}"), &x).relu();
            if let (1, Some(projection)) = (i, block.shortcut) {
                shortcut = self.conv(&format!("{name}.downsample.0"), projection, &x);
            }
            x = self.conv(&format!("{name}.conv{i}"), conv, &x);
        }
        x + shortcut
    }
}

/// RGB in [0, 1] to what the stem reads.
fn normalise(normalization: Normalization, images: &Tensor) -> Tensor {
    let channels = |values: [f64; 3]| {
        Tensor::from_slice(&values)
            .to_kind(images.kind())
            .to_device(images.device())
            .view([1, 3, 1, 1])
    };
    let images = match normalization.channels() {
        ChannelOrder::Rgb => images.shallow_clone(),
        ChannelOrder::Bgr => images.flip([1]),
    };
    let normalization = normalization.of_pixels_over(Normalization::IMAGENET.divisor());
    (images - channels(normalization.mean())) / channels(normalization.std())
}

/// The same tensor with the channels of a pixel beside each other in memory: convolutions and batch norms are faster so,
/// and what they give is laid out in the same way.
fn channels_last(images: &Tensor) -> Tensor {
    images
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
}
