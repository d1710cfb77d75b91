//! The weights of a backbone, every parameter of its spec exactly once, and how they were found.

use std::collections::{BTreeMap, HashSet};

use crate::arch::{BatchNormField, ParamKind, ResNetSpec};

mod file;
mod fit;
mod ledger;

pub use file::{
    FileError, declared_spec, little_endian, metadata, tensors_from_bytes, tensors_to_bytes,
    tensors_to_file, write_file,
};
pub use fit::{FitError, Fitted, MovingAverages, SourceArray, SourceTensor};
pub use ledger::{Filled, Ledger, SetAside, sha256_f32};

/// A float32 tensor in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` with `values` in C order.
    ///
    /// # Panics
    /// Where the shape has another number of elements.
    #[must_use]
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "a tensor of shape {shape:?}"
        );
        Self { shape, values }
    }

    /// Lengths of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in C order.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values in C order, without the shape.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

/// Tensors by name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// A backbone's weights: every parameter of the spec, by torchvision name, in torchvision's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    spec: ResNetSpec,
    tensors: Tensors,
}

impl Checkpoint {
    /// Takes tensors that are exactly the spec's parameters.
    pub fn new(spec: ResNetSpec, tensors: Tensors) -> Result<Self, FitError> {
        let params = spec.params();
        let known: HashSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
        let missing: Vec<_> = params
            .iter()
            .filter(|param| !tensors.contains_key(&param.name))
            .map(|param| param.name.clone())
            .collect();
        let unknown = tensors.keys().filter(|name| !known.contains(name.as_str()));
        let surplus: Vec<_> = unknown.cloned().collect();
        if !missing.is_empty() || !surplus.is_empty() {
            return Err(FitError::Mismatch {
                spec: Box::new(spec),
                missing,
                surplus,
            });
        }
        for param in &params {
            let tensor = &tensors[&param.name];
            fit::check_shape(&param.name, param, tensor.shape())?;
            if param.kind == ParamKind::BatchNorm(BatchNormField::Variance) {
                fit::check_variance(&param.name, tensor, spec.epsilon())?;
            }
        }
        Ok(Self { spec, tensors })
    }

    /// The network.
    #[must_use]
    pub const fn spec(&self) -> ResNetSpec {
        self.spec
    }

    /// Every parameter by name.
    #[must_use]
    pub const fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// A parameter of the spec.
    ///
    /// # Panics
    /// Where the spec has no parameter of that name: a checkpoint holds them all.
    #[must_use]
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("a {} has no parameter {name}", self.spec))
    }
}
