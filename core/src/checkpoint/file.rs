//! Checkpoints and heads as safetensors files.

use std::collections::HashMap;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Checkpoint, FitError, Tensor, Tensors};
use crate::arch::ResNetSpec;

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

/// A safetensors file of the tensors, the same bytes for the same tensors.
pub fn tensors_to_bytes(tensors: &Tensors) -> Result<Vec<u8>, FileError> {
    let bytes: Vec<(&String, &Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            (
                name,
                tensor,
                tensor
                    .values()
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, tensor, bytes)| {
            Ok((
                *name,
                TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?,
            ))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    // PyTorch's loaders ask for this key.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
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
