//! torchvision's state dict as safetensors: its names, its layout, its counters of batches.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use detcon_core::arch::{Conv, Param, ParamKind, ResNetSpec};
use detcon_core::checkpoint::{Checkpoint, Tensor, little_endian};
use detcon_core::files::write_by;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View, serialize_to_file};

/// What loads the weights with grown kernels.
const LOADER: &str = include_str!("torchvision_loader.py");

/// How the padding that the network was trained with is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// The kernels as they are: right at heights and widths ≡ 1 mod 32, about 4.5 % off at 224.
    #[default]
    Symmetric,
    /// Strided kernels grow a row and a column of zeros: right at multiples of 32, by way of a loader.
    ZeroExtended,
}

/// An entry of a state dict.
enum Entry<'a> {
    Float(Cow<'a, Tensor>),
    /// `num_batches_tracked`: torch counts training batches there and inference does not read it.
    BatchCount,
}

impl View for Entry<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Float(_) => Dtype::F32,
            Self::BatchCount => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Float(tensor) => tensor.shape(),
            Self::BatchCount => &[],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Float(tensor) => Cow::Owned(little_endian(tensor.values())),
            Self::BatchCount => Cow::Borrowed(&[0; 8]),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Float(tensor) => size_of_val(tensor.values()),
            Self::BatchCount => 8,
        }
    }
}

/// Writes the state dict to `path`, tensor by tensor.
pub(super) fn write(
    checkpoint: &Checkpoint,
    padding: Padding,
    path: &Path,
) -> Result<(), SafeTensorError> {
    let mut state: BTreeMap<String, Entry<'_>> = BTreeMap::new();
    for param in checkpoint.spec().params() {
        if let Some(norm) = param.name.strip_suffix(".running_mean") {
            state.insert(format!("{norm}.num_batches_tracked"), Entry::BatchCount);
        }
        let tensor = checkpoint.get(&param.name);
        let tensor = match (padding, strided(&param)) {
            (Padding::ZeroExtended, Some(conv)) => Cow::Owned(zero_extended(tensor, conv)),
            _ => Cow::Borrowed(tensor),
        };
        state.insert(param.name, Entry::Float(tensor));
    }
    // PyTorch's loaders ask for this key.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_by(path, |path| serialize_to_file(state, Some(metadata), path))
}

/// The Python file that loads weights with grown kernels from the file called `weights` beside it.
pub(super) fn loader(spec: ResNetSpec, weights: &str) -> String {
    LOADER
        .replace("\"@WEIGHTS@\"", &format!("{weights:?}"))
        .replace("@LAYERS@", &format!("{:?}", spec.depth().blocks()))
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
