//! Networks under a `ResNet`'s names that compute something else, each known by the tensor that gives it away.
//!
//! Source: timm's `models/resnet.py`, `models/resnetv2.py`, `models/regnet.py`, `layers/blur_pool.py`; torchvision's
//! `models/regnet.py`; flax's `examples/imagenet/models.py`.

use std::fmt;

use super::candidate::Table;

/// What a network is that looks like a `ResNet` and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAlike {
    /// resnet50c, d, s and t: three convolutions in place of the stem's.
    DeepStem,
    /// A stem with a convolution in place of the pool.
    StemPool,
    /// resnet50d: the shortcut pools before it projects.
    AveragePool,
    /// `ResNeXt`.
    Groups,
    /// `SE-ResNet` and its kind.
    SqueezeAndExcitation,
    /// `ECA-ResNet`.
    ChannelAttention,
    /// resnetblur.
    AntiAliased,
    /// `BiT`, `ResNetV2`.
    Bit,
    /// `RegNet`.
    RegNet,
    /// `resnet50_gn`: norms without moving averages.
    GroupNorm,
    /// The `ResNet` of flax's examples: it pads its stem on both sides and all else as TensorFlow does.
    FlaxExample,
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeepStem => "a ResNet with a deep stem of 3x3 convolutions (resnet50c, d, s, t)",
            Self::StemPool => "a ResNet with a convolution in place of the stem's pool",
            Self::AveragePool => "a ResNet whose shortcuts pool before they project (resnet50d)",
            Self::Groups => "a ResNeXt: its 3x3 convolutions have groups",
            Self::SqueezeAndExcitation => "a ResNet with squeeze-and-excitation (SE)",
            Self::ChannelAttention => "a ResNet with channel attention (ECA)",
            Self::AntiAliased => "an anti-aliased ResNet (resnetblur, resnetaa)",
            Self::Bit => "a ResNetV2 (BiT)",
            Self::RegNet => "a RegNet",
            Self::FlaxExample => {
                "a ResNet of flax's examples, whose stem pads both sides and whose blocks pad as TensorFlow does"
            }
            Self::GroupNorm => {
                "a ResNet whose norms have no moving averages (GroupNorm), or its parameters alone"
            }
        })
    }
}

/// Parts of names, how many axes the tensors have where that matters, and what they give away.
const BY_NAME: [(&str, Option<usize>, LookAlike); 13] = [
    ("conv1.0.weight", None, LookAlike::DeepStem),
    ("maxpool.0.weight", None, LookAlike::StemPool),
    (
        "layer1.0.downsample.1.weight",
        Some(4),
        LookAlike::AveragePool,
    ),
    (
        "layer2.0.downsample.1.weight",
        Some(4),
        LookAlike::AveragePool,
    ),
    (
        "layer1.0.se.conv.weight",
        Some(3),
        LookAlike::ChannelAttention,
    ),
    ("layer1.0.se.", None, LookAlike::SqueezeAndExcitation),
    ("layer1.0.se_module.", None, LookAlike::SqueezeAndExcitation),
    ("layer2.0.aa.", None, LookAlike::AntiAliased),
    ("stages.0.blocks.0.conv1.weight", None, LookAlike::Bit),
    ("block1.unit01.conv1.weight", None, LookAlike::Bit),
    ("s1.b1.conv1.conv.weight", None, LookAlike::RegNet),
    ("trunk_output.block1.block1-0.", None, LookAlike::RegNet),
    ("conv_init.kernel", Some(4), LookAlike::FlaxExample),
];

/// The tensor that tells that the network of this table is no plain `ResNet`, and what it is.
pub(super) fn look_alike(table: &Table) -> Option<(String, LookAlike)> {
    given_away(table, |name, part| name.starts_with(part)).or_else(|| grouped(table))
}

/// The same of tensors among which no network was found, under any prefix.
pub(super) fn look_alike_anywhere(table: &Table) -> Option<(String, LookAlike)> {
    given_away(table, |name, part| {
        name.starts_with(part) || name.contains(&format!(".{part}"))
    })
}

fn given_away(table: &Table, has: impl Fn(&str, &str) -> bool) -> Option<(String, LookAlike)> {
    table.iter().find_map(|(name, tensor)| {
        let mut rows = BY_NAME.iter();
        let row = rows.find(|(part, axes, _)| {
            has(name, part) && axes.is_none_or(|axes| axes == tensor.shape.len())
        });
        row.map(|(_, _, kind)| (tensor.name.clone(), *kind))
    })
}

/// A 3×3 convolution that reads fewer channels than the 1×1 before it gives.
fn grouped(table: &Table) -> Option<(String, LookAlike)> {
    let tensor = |name: &str| table.get(name);
    tensor("layer1.0.conv3.weight")?;
    let (before, middle) = (
        tensor("layer1.0.conv1.weight")?,
        tensor("layer1.0.conv2.weight")?,
    );
    let (given, read) = (before.shape.first()?, middle.shape.get(1)?);
    (read < given).then(|| (middle.name.clone(), LookAlike::Groups))
}

/// The first norm of a network none of whose norms has moving averages.
pub(super) fn without_averages(table: &Table) -> Option<String> {
    let averages = table
        .keys()
        .any(|name| name.ends_with(".running_mean") || name.ends_with(".running_var"));
    let first = table.get("layer1.0.bn1.weight");
    first.filter(|_| !averages).map(|it| it.name.clone())
}
