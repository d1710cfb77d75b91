//! A state dict as safetensors: tensors by their names in some software, with the counters of batches that it keeps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::{Checkpoint, Tensor, little_endian, metadata, write_file};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View};

/// An entry of a state dict.
pub(super) enum Entry<'a> {
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

/// The entries of a checkpoint, each called by `name` and each tensor as `value` gives it.
pub(super) fn entries<'a>(
    checkpoint: &'a Checkpoint,
    name: impl Fn(&str) -> String,
    value: impl Fn(&detcon_core::arch::Param, &'a Tensor) -> Cow<'a, Tensor>,
) -> BTreeMap<String, Entry<'a>> {
    let mut entries = BTreeMap::new();
    for param in checkpoint.spec().params() {
        if let Some(norm) = param.name.strip_suffix(".running_mean") {
            let count = name(&format!("{norm}.num_batches_tracked"));
            entries.insert(count, Entry::BatchCount);
        }
        let tensor = value(&param, checkpoint.get(&param.name));
        entries.insert(name(&param.name), Entry::Float(tensor));
    }
    entries
}

/// Writes the state dict to `path`, tensor by tensor; it says of which network it is.
pub(super) fn write(
    entries: BTreeMap<String, Entry<'_>>,
    spec: ResNetSpec,
    path: &Path,
) -> Result<(), SafeTensorError> {
    write_file(entries, metadata(Some(spec)), path)
}
