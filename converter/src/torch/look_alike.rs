//! Networks under a `ResNet`'s names that compute something else, each known by the tensor that gives it away.
//!
//! Source: timm's `models/resnet.py`, `models/resnetv2.py`, `models/regnet.py`, `layers/blur_pool.py`; torchvision's
//! `models/regnet.py`.

use std::fmt;

use crate::pickle::Array;

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
            Self::GroupNorm => {
                "a ResNet whose norms have no moving averages (GroupNorm), or its parameters alone"
            }
        })
    }
}

/// Parts of names, how many axes the tensors have where that matters, and what they give away.
const BY_NAME: [(&str, Option<usize>, LookAlike); 12] = [
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
];

/// The tensor that tells that the network is no plain `ResNet`, and what it is.
pub(super) fn look_alike(entries: &[(String, Array<'_>)]) -> Option<(String, LookAlike)> {
    let named = entries.iter().find_map(|(name, array)| {
        let has = |part: &str| name.starts_with(part) || name.contains(&format!(".{part}"));
        let mut rows = BY_NAME.iter();
        let row = rows.find(|(part, axes, _)| {
            has(part) && axes.is_none_or(|axes| axes == array.shape().len())
        });
        row.map(|(_, _, kind)| (name.clone(), *kind))
    });
    named.or_else(|| grouped(entries))
}

/// A 3×3 convolution that reads fewer channels than the 1×1 before it gives.
fn grouped(entries: &[(String, Array<'_>)]) -> Option<(String, LookAlike)> {
    let shape = |wanted: &str| {
        let found = entries.iter().find(|(name, _)| name == wanted);
        found.map(|(_, array)| array.shape())
    };
    entries.iter().find_map(|(name, array)| {
        let block = name.strip_suffix("layer1.0.conv2.weight")?;
        shape(&format!("{block}layer1.0.conv3.weight"))?;
        let before = shape(&format!("{block}layer1.0.conv1.weight"))?;
        let (given, read) = (before.first()?, array.shape().get(1)?);
        (read < given).then(|| (name.clone(), LookAlike::Groups))
    })
}

/// The first norm of a network none of whose norms has moving averages.
pub(super) fn without_averages(entries: &[(String, Array<'_>)], prefix: &str) -> Option<String> {
    let mut inside = entries
        .iter()
        .filter_map(|(name, _)| name.strip_prefix(prefix));
    let averages =
        inside.any(|name| name.ends_with(".running_mean") || name.ends_with(".running_var"));
    let first = format!("{prefix}layer1.0.bn1.weight");
    let there = entries.iter().any(|(name, _)| *name == first);
    (there && !averages).then_some(first)
}
