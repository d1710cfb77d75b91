//! How software spells the names of a `ResNet`'s tensors: one table, each row with where it was read.

use detcon_core::names::Transform;

/// One software's names, and how they become torchvision's.
#[derive(Debug)]
pub(crate) struct Spelling {
    /// Whose names they are.
    pub(crate) name: &'static str,
    /// What a name starts with, and what it starts with in torchvision. Names that start otherwise are none of the
    /// network's.
    starts: &'static [(&'static str, &'static str)],
    /// What is replaced inside a name, first rows first.
    inner: &'static [(&'static str, &'static str)],
    /// How tensors are called at the end of a name, and how they lie.
    leaves: &'static [(&'static str, &'static str, Transform)],
}

/// The stem's kernel and a kernel of the first block, in torchvision's names: every network has both.
const STEM: &str = "conv1.weight";
const FIRST_BLOCK: &str = "layer1.0.conv1.weight";

/// Parts that are left out of names wherever they stand: what PyTorch wraps modules in.
///
/// Source: `OptimizedModule` of PyTorch's `torch/_dynamo/eval_frame.py`; `FSDP_WRAPPED_MODULE` of
/// `torch/distributed/fsdp/_common_utils.py`; `_CHECKPOINT_WRAPPED_MODULE` of
/// `torch/distributed/algorithms/_checkpoint/checkpoint_wrapper.py`.
const WRAPPED: [&str; 3] = [
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// PyTorch's names of parameters and buffers, which most have.
const TORCH_LEAVES: &[(&str, &str, Transform)] = &[
    ("weight", "weight", Transform::Identity),
    ("bias", "bias", Transform::Identity),
    ("running_mean", "running_mean", Transform::Identity),
    ("running_var", "running_var", Transform::Identity),
    (
        "num_batches_tracked",
        "num_batches_tracked",
        Transform::Identity,
    ),
];

/// The spellings.
pub(crate) static SPELLINGS: [Spelling; 7] = [
    // torchvision's `models/resnet.py` (`ResNet.__init__`), and what is built on it: MoCo, SimSiam, SwAV, Barlow Twins,
    // VICReg, DINO, PixPro, solo-learn, mmselfsup, VISSL (`_feature_blocks`, `extra_scripts/convert_vissl_to_torchvision.py`).
    // `norm` is this project's name for the last norm of a pre-activation network.
    Spelling {
        name: "torchvision",
        starts: &[
            ("conv1.", "conv1."),
            ("bn1.", "bn1."),
            ("layer1.", "layer1."),
            ("layer2.", "layer2."),
            ("layer3.", "layer3."),
            ("layer4.", "layer4."),
            ("norm.", "norm."),
        ],
        inner: &[],
        leaves: TORCH_LEAVES,
    },
    // `nn.Sequential(*list(resnet.children())[:-1])`: `Encoder` of isaaccorley/detcon-pytorch's `detcon/models.py`,
    // `EncoderwithProjection` of KKallidromitis/detcon-pytorch's `model/basic_modules.py`, lightly's `examples/pytorch/byol.py`;
    // `utils/convert_fcn.py` of the second says which child is which.
    Spelling {
        name: "children of nn.Sequential",
        starts: &[
            ("0.", "conv1."),
            ("1.", "bn1."),
            ("4.", "layer1."),
            ("5.", "layer2."),
            ("6.", "layer3."),
            ("7.", "layer4."),
        ],
        inner: &[],
        leaves: TORCH_LEAVES,
    },
    // `EncoderwithProjection` of KKallidromitis/detcon-pytorch's `model/basic_modules.py`, with a feature pyramid.
    Spelling {
        name: "C1 to C5",
        starts: &[
            ("C1.0.", "conv1."),
            ("C1.1.", "bn1."),
            ("C2.", "layer1."),
            ("C3.", "layer2."),
            ("C4.", "layer3."),
            ("C5.", "layer4."),
        ],
        inner: &[],
        leaves: TORCH_LEAVES,
    },
    // `BasicStem`, `BasicBlock` and `BottleneckBlock` of Detectron2's `modeling/backbone/resnet.py`;
    // `convert_to_detectron2_names` of VISSL's `extra_scripts/convert_vissl_to_detectron2.py`.
    Spelling {
        name: "Detectron2",
        starts: &[
            ("stem.conv1.norm.", "bn1."),
            ("stem.conv1.", "conv1."),
            ("res2.", "layer1."),
            ("res3.", "layer2."),
            ("res4.", "layer3."),
            ("res5.", "layer4."),
        ],
        inner: &[
            (".conv1.norm.", ".bn1."),
            (".conv2.norm.", ".bn2."),
            (".conv3.norm.", ".bn3."),
            (".shortcut.norm.", ".downsample.1."),
            (".shortcut.", ".downsample.0."),
        ],
        leaves: TORCH_LEAVES,
    },
    // `convert_classy_trunk_to_vissl_model` of VISSL's `extra_scripts/convert_classy_vision_to_vissl_resnet.py`.
    Spelling {
        name: "Classy Vision",
        starts: &[
            ("initial_block._module.0.", "conv1."),
            ("initial_block._module.1.", "bn1."),
            ("blocks.0.block0-", "layer1."),
            ("blocks.1.block1-", "layer2."),
            ("blocks.2.block2-", "layer3."),
            ("blocks.3.block3-", "layer4."),
        ],
        inner: &[
            (".convolutional_block.0.", ".conv1."),
            (".convolutional_block.1.", ".bn1."),
            (".convolutional_block.3.", ".conv2."),
            (".convolutional_block.4.", ".bn2."),
            (".convolutional_block.6.", ".conv3."),
            (".bn.", ".bn3."),
        ],
        leaves: TORCH_LEAVES,
    },
    // `ResNetEmbeddings`, `ResNetEncoder` and their layers in transformers' `models/resnet/modeling_resnet.py`.
    Spelling {
        name: "transformers",
        starts: TRANSFORMERS_STARTS,
        inner: TRANSFORMERS_INNER,
        leaves: TORCH_LEAVES,
    },
    // The same in flax: transformers' `models/resnet/modeling_flax_resnet.py`, whose kernels are `[height, width, inputs,
    // outputs]` as `nn.Conv` of flax has them.
    Spelling {
        name: "transformers in flax",
        starts: TRANSFORMERS_STARTS,
        inner: TRANSFORMERS_INNER,
        leaves: &[
            ("kernel", "weight", Transform::HwioToOihw),
            ("scale", "weight", Transform::Identity),
            ("bias", "bias", Transform::Identity),
            ("mean", "running_mean", Transform::Identity),
            ("var", "running_var", Transform::Identity),
        ],
    },
];

const TRANSFORMERS_STARTS: &[(&str, &str)] = &[
    ("embedder.embedder.convolution.", "conv1."),
    ("embedder.embedder.normalization.", "bn1."),
    ("encoder.stages.0.layers.", "layer1."),
    ("encoder.stages.1.layers.", "layer2."),
    ("encoder.stages.2.layers.", "layer3."),
    ("encoder.stages.3.layers.", "layer4."),
];
const TRANSFORMERS_INNER: &[(&str, &str)] = &[
    (".layer.0.convolution.", ".conv1."),
    (".layer.0.normalization.", ".bn1."),
    (".layer.1.convolution.", ".conv2."),
    (".layer.1.normalization.", ".bn2."),
    (".layer.2.convolution.", ".conv3."),
    (".layer.2.normalization.", ".bn3."),
    (".shortcut.convolution.", ".downsample.0."),
    (".shortcut.normalization.", ".downsample.1."),
];

impl Spelling {
    /// Whether the names are torchvision's.
    pub(super) const fn is_torchvisions(&self) -> bool {
        self.inner.is_empty() && self.starts.len() == 7
    }

    /// Torchvision's name of a tensor, and what makes it torchvision's; nothing where the name is none of the network's.
    pub(super) fn torchvision(&self, name: &str) -> Option<(String, Transform)> {
        let (start, ours) = self
            .starts
            .iter()
            .find(|(start, _)| name.starts_with(start))?;
        let mut torchvision = format!("{ours}{}", name.strip_prefix(start)?);
        for (theirs, ours) in self.inner {
            torchvision = torchvision.replacen(theirs, ours, 1);
        }
        let (module, leaf) = torchvision.rsplit_once('.')?;
        match self.leaves.iter().find(|(theirs, ..)| *theirs == leaf) {
            // In flax a norm's factor and a kernel are told by their names alone.
            Some((_, ours, transform)) => Some((format!("{module}.{ours}"), *transform)),
            None => Some((torchvision, Transform::Identity)),
        }
    }

    /// The stem's kernel in this spelling.
    pub(super) fn stem(&self) -> String {
        self.theirs(STEM)
    }

    /// A kernel of the first block in this spelling.
    pub(super) fn first_block(&self) -> String {
        self.theirs(FIRST_BLOCK)
    }

    /// How a kernel of torchvision's name is called.
    fn theirs(&self, torchvision: &str) -> String {
        let kernel = self.leaves.iter().find(|row| row.1 == "weight");
        let name = torchvision.replacen("weight", kernel.map_or("weight", |row| row.0), 1);
        let start = self.starts.iter().find(|(_, ours)| name.starts_with(ours));
        let (start, rest) = start.map_or(("", name.as_str()), |(theirs, ours)| {
            (*theirs, &name[ours.len()..])
        });
        let inner = self
            .inner
            .iter()
            .fold(format!(".{rest}"), |name, (theirs, ours)| {
                name.replacen(ours, theirs, 1)
            });
        format!("{start}{}", inner.trim_start_matches('.'))
    }
}

/// A name without what modules are wrapped in.
pub(super) fn unwrapped(name: &str) -> String {
    if !WRAPPED.iter().any(|part| name.contains(part)) {
        return name.to_owned();
    }
    let parts = name.split('.').filter(|part| !WRAPPED.contains(part));
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_own_names() {
        for spelling in &SPELLINGS {
            for (theirs, ours) in [
                (spelling.stem(), STEM),
                (spelling.first_block(), FIRST_BLOCK),
            ] {
                let found = spelling.torchvision(&theirs).unwrap();
                assert_eq!(found.0, ours, "{}: {theirs}", spelling.name);
            }
        }
    }

    #[test]
    fn names_are_what_their_software_writes() {
        for (spelling, theirs, ours) in [
            (1, "0.weight", "conv1.weight"),
            (1, "7.2.bn3.running_var", "layer4.2.bn3.running_var"),
            (2, "C1.1.bias", "bn1.bias"),
            (3, "res5.0.shortcut.weight", "layer4.0.downsample.0.weight"),
            (
                3,
                "res3.1.conv2.norm.running_mean",
                "layer2.1.bn2.running_mean",
            ),
            (
                4,
                "blocks.2.block2-5.convolutional_block.6.weight",
                "layer3.5.conv3.weight",
            ),
            (4, "blocks.0.block0-0.bn.weight", "layer1.0.bn3.weight"),
            (
                5,
                "encoder.stages.1.layers.0.shortcut.normalization.bias",
                "layer2.0.downsample.1.bias",
            ),
            (
                6,
                "encoder.stages.0.layers.1.layer.2.convolution.kernel",
                "layer1.1.conv3.weight",
            ),
            (6, "embedder.embedder.normalization.var", "bn1.running_var"),
        ] {
            let found = SPELLINGS[spelling].torchvision(theirs).unwrap();
            assert_eq!(found.0, ours, "{theirs}");
        }
    }

    #[test]
    fn wrappers_inside_names_are_left_out() {
        assert_eq!(
            unwrapped("_orig_mod.layer1._checkpoint_wrapped_module.0.conv1.weight"),
            "layer1.0.conv1.weight"
        );
        assert_eq!(unwrapped("module.conv1.weight"), "module.conv1.weight");
    }
}
