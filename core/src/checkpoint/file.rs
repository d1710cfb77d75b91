//! Checkpoints and heads as safetensors files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize, serialize_to_file};

use super::{Checkpoint, FitError, Tensor, Tensors};
use crate::arch::ResNetSpec;
use crate::files::write_by;

/// Why bytes are no checkpoint of a spec.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The bytes are no safetensors file.
    #[error("not a safetensors file: {source}")]
    Format {
        /// What the reader said.
        #[from]
        source: SafeTensorError,
    },
    /// A tensor is not float32.
    #[error("{name} is {dtype:?}: a checkpoint's tensors are F32")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// The tensors are not the spec's.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// The tensors of a safetensors file, all of them float32.
pub fn tensors_from_bytes(bytes: &[u8]) -> Result<Tensors, FileError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(FileError::Dtype {
                name: name.to_owned(),
                dtype: view.dtype(),
            });
        }
        let (values, _) = view.data().as_chunks();
        let values = values
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect();
        tensors.insert(name.to_owned(), Tensor::new(view.shape().to_vec(), values));
    }
    Ok(tensors)
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        Tensor::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(little_endian(self.values()))
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values())
    }
}

/// Values as little-endian bytes, as files hold them.
#[must_use]
pub fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; size_of_val(values)];
    for (place, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *place = value.to_le_bytes();
    }
    bytes
}

/// PyTorch's loaders ask for this key.
fn metadata() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

/// A safetensors file of the tensors, the same bytes for the same tensors.
pub fn tensors_to_bytes(tensors: &Tensors) -> Result<Vec<u8>, FileError> {
    Ok(serialize(tensors, Some(metadata()))?)
}

/// Writes the same bytes to the file at `path`, one tensor at a time.
pub fn tensors_to_file(tensors: &Tensors, path: &Path) -> Result<(), FileError> {
    Ok(write_by(path, |path| {
        serialize_to_file(tensors, Some(metadata()), path)
    })?)
}

impl Checkpoint {
    /// Reads `model.safetensors`: exactly the spec's parameters.
    pub fn from_bytes(spec: ResNetSpec, bytes: &[u8]) -> Result<Self, FileError> {
        Ok(Self::new(spec, tensors_from_bytes(bytes)?)?)
    }

    /// Writes `model.safetensors`.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        tensors_to_bytes(&self.tensors)
    }
}
