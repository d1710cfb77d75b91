//! Checkpoints and heads as safetensors files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::BuildHasher;
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

/// Key of a file's metadata under which PyTorch's loaders look for `pt`.
const FORMAT: &str = "format";
/// Key of a file's metadata that holds the network's spec, as a manifest writes it.
const SPEC: &str = "detcon.spec";

/// The metadata of a file of tensors in torch's layout, with the spec where they are a whole backbone.
///
/// Files list it in the order of the map, which is drawn anew for each map: one in the order of its keys is drawn, so that
/// the same tensors give the same bytes.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "a spec is plain JSON: nothing panics"
)]
pub fn metadata(spec: Option<ResNetSpec>) -> HashMap<String, String> {
    let spec = spec.map(|spec| serde_json::to_string(&spec).expect("a spec is plain JSON"));
    let format = (FORMAT, "pt".to_owned());
    let entries = spec.map(|spec| (SPEC, spec)).into_iter().chain([format]);
    let entries: Vec<_> = entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    loop {
        let map: HashMap<_, _> = entries.iter().cloned().collect();
        if map.keys().is_sorted() {
            return map;
        }
    }
}

/// The spec that a safetensors file's metadata tells, where this project wrote it.
#[must_use]
pub fn declared_spec<H: BuildHasher>(
    metadata: &HashMap<String, String, H>,
) -> Option<Result<ResNetSpec, String>> {
    let text = metadata.get(SPEC)?;
    Some(serde_json::from_str(text).map_err(|error| format!("its {SPEC} is damaged: {error}")))
}

/// A safetensors file of the tensors, the same bytes for the same tensors.
pub fn tensors_to_bytes(tensors: &Tensors) -> Result<Vec<u8>, FileError> {
    Ok(serialize(tensors, Some(metadata(None)))?)
}

/// Writes the same bytes to the file at `path`, one tensor at a time.
pub fn tensors_to_file(tensors: &Tensors, path: &Path) -> Result<(), FileError> {
    Ok(write_file(tensors, metadata(None), path)?)
}

/// Writes a safetensors file, one tensor at a time, with the mode that any other file has.
#[expect(clippy::implicit_hasher, reason = "the writer takes no other map")]
pub fn write_file<S, V, I>(
    tensors: I,
    metadata: HashMap<String, String>,
    path: &Path,
) -> Result<(), SafeTensorError>
where
    S: AsRef<str> + Ord + Display,
    V: View,
    I: IntoIterator<Item = (S, V)>,
{
    write_by(path, |path| {
        serialize_to_file(tensors, Some(metadata), path)
    })
}

impl Checkpoint {
    /// Reads `model.safetensors`: exactly the spec's parameters.
    pub fn from_bytes(spec: ResNetSpec, bytes: &[u8]) -> Result<Self, FileError> {
        Ok(Self::new(spec, tensors_from_bytes(bytes)?)?)
    }

    /// Writes `model.safetensors`, which says of which network it is.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        Ok(serialize(&self.tensors, Some(self.metadata()))?)
    }

    /// Writes the same bytes to the file at `path`, one tensor at a time.
    pub fn to_file(&self, path: &Path) -> Result<(), FileError> {
        Ok(write_file(&self.tensors, self.metadata(), path)?)
    }

    /// It says of which network it is, the published code's too: a file that goes without its directory would be taken for
    /// torch's otherwise, which pads alike on both sides.
    fn metadata(&self) -> HashMap<String, String> {
        metadata(Some(self.spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_of_which_network_it_is_in_the_same_bytes_each_time() {
        let spec: ResNetSpec = "resnet18+symmetric+identity+os16".parse().unwrap();
        let tensors = Tensors::from([("a".to_owned(), Tensor::new(vec![1], vec![1.0]))]);
        let checkpoint = Checkpoint { spec, tensors };
        let bytes = checkpoint.to_bytes().unwrap();
        for _ in 0..20 {
            assert_eq!(checkpoint.to_bytes().unwrap(), bytes);
        }
        for spec in [spec, spec.published()] {
            let said = Checkpoint {
                spec,
                ..checkpoint.clone()
            };
            let (_, header) = SafeTensors::read_metadata(&said.to_bytes().unwrap()).unwrap();
            let found = header.metadata().as_ref().unwrap();
            assert_eq!(declared_spec(found), Some(Ok(spec)));
        }
        assert_eq!(declared_spec(&metadata(None)), None);
    }
}
