//! torchvision's state dict as safetensors: its names, its layout, its counters of batches.

use std::borrow::Cow;
use std::path::Path;

use detcon_core::arch::{Conv, Param, ParamKind, ResNetSpec};
use detcon_core::checkpoint::{Checkpoint, Tensor};
use safetensors::SafeTensorError;

use super::state_dict;

/// What loads the weights with grown kernels.
const LOADER: &str = include_str!("torchvision_loader.py");

/// How the padding that the network was trained with is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// As they are: exact where the network pads as torch does; one that pads as SAME does is right at heights and
    /// widths ≡ 1 mod 32, and about 4.5 % off at 224.
    #[default]
    AsTheyAre,
    /// Strided kernels grow a row and a column of zeros: SAME is then right at multiples of 32, by way of a loader.
    ZeroExtended,
}

/// Writes the state dict to `path`, tensor by tensor.
pub(super) fn write(
    checkpoint: &Checkpoint,
    kernels: Kernels,
    path: &Path,
) -> Result<(), SafeTensorError> {
    let value = |param: &Param, tensor| match (kernels, strided(param)) {
        (Kernels::ZeroExtended, Some(conv)) => Cow::Owned(zero_extended(tensor, conv)),
        _ => Cow::Borrowed(tensor),
    };
    let entries = state_dict::entries(checkpoint, str::to_owned, value);
    state_dict::write(entries, checkpoint.spec(), path)
}

/// The Python file that loads weights with grown kernels from the file called `weights` beside it.
pub(super) fn loader(spec: ResNetSpec, weights: &str) -> String {
    let block = if spec.depth().bottleneck() {
        "Bottleneck"
    } else {
        "BasicBlock"
    };
    LOADER
        .replace("\"@WEIGHTS@\"", &format!("{weights:?}"))
        .replace("@BLOCK@", block)
        .replace("@LAYERS@", &format!("{:?}", spec.depth().blocks()))
        .replace("@WIDTH@", &(64 * spec.bottleneck_width()).to_string())
}

/// What builds the network in torchvision.
pub(super) fn constructor(spec: ResNetSpec) -> String {
    let name = match spec.bottleneck_width() {
        1 => spec.depth().name().to_owned(),
        wide => format!("wide_{}_{wide}", spec.depth().name()),
    };
    let replaced = match spec.output_stride() {
        8 => "replace_stride_with_dilation=[False, True, True]",
        16 => "replace_stride_with_dilation=[False, False, True]",
        _ => "",
    };
    format!("torchvision.models.{name}({replaced})")
}

/// The convolution of a kernel that SAME pads unevenly at even sizes.
fn strided(param: &Param) -> Option<Conv> {
    match param.kind {
        ParamKind::Conv(conv) if conv.stride > 1 && conv.kernel > 1 => Some(conv),
        ParamKind::Conv(_) | ParamKind::BatchNorm(_) => None,
    }
}

/// A kernel of odd side k with a row and a column of zeros before it. At an even size SAME pads (k−3)/2 before and
/// (k−1)/2 after; torch's (k−1)/2 on both sides is one too many before, which the zeros take.
fn zero_extended(kernel: &Tensor, conv: Conv) -> Tensor {
    let (old, new) = (conv.kernel, conv.kernel + 1);
    let mut values = vec![0.0; conv.outputs * conv.inputs * new * new];
    let planes = values
        .chunks_exact_mut(new * new)
        .zip(kernel.values().chunks_exact(old * old));
    for (grown, plane) in planes {
        for (row, weights) in plane.chunks_exact(old).enumerate() {
            grown[(row + 1) * new + 1..][..old].copy_from_slice(weights);
        }
    }
    Tensor::new(vec![conv.outputs, conv.inputs, new, new], values)
}
