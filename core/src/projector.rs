//! The projector: from pooled features to the space in which DetCon compares regions.
//!
//! Source: the published `utils/networks.py`, `MLP`: linear, batch norm, ReLU, linear without bias. In inference
//! the batch norm uses its moving averages.

use std::fmt;

use crate::arch::BATCH_NORM_EPSILON;
use crate::checkpoint::{Tensor, Tensors};
use crate::names::canonical_head;

/// A projector's weights, with the batch norm folded into the first layer.
#[derive(Clone)]
pub struct Projector {
    hidden: Layer,
    output: Layer,
}

/// A linear layer: weights `[outputs, inputs]`, bias `[outputs]`.
#[derive(Clone)]
struct Layer {
    weights: Tensor,
    bias: Vec<f32>,
}

/// Why heads hold no projector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectorError {
    /// A tensor is missing.
    #[error("the heads have no {name}")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// Tensors do not fit each other, or the network.
    #[error("{name} has shape {found:?}, which does not fit what is before it")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
    },
}

impl Projector {
    /// Finds the projector of a network with embeddings of `inputs` values in its heads.
    pub fn from_heads(heads: &Tensors, inputs: usize) -> Result<Self, ProjectorError> {
        let weights = matrix(heads, "projector.linear.weight", inputs)?;
        let width = weights.shape()[0];
        let bias = vector(heads, "projector.linear.bias", width)?;
        let norm = |field: &str| vector(heads, &format!("projector.batch_norm.{field}"), width);
        let (scale, offset) = (norm("weight")?, norm("bias")?);
        let (mean, variance) = (norm("running_mean")?, norm("running_var")?);
        let output = matrix(heads, "projector.linear_1.weight", width)?;
        let factor =
            |i: usize| f64::from(scale[i]) / (f64::from(variance[i]) + BATCH_NORM_EPSILON).sqrt();
        let folded = weights.values().chunks_exact(inputs).enumerate();
        let folded =
            folded.flat_map(|(i, row)| row.iter().map(move |&w| to_f32(f64::from(w) * factor(i))));
        let shifted = (0..width).map(|i| {
            to_f32((f64::from(bias[i]) - f64::from(mean[i])) * factor(i) + f64::from(offset[i]))
        });
        Ok(Self {
            hidden: Layer {
                bias: shifted.collect(),
                weights: Tensor::new(vec![width, inputs], folded.collect()),
            },
            output: Layer {
                bias: vec![0.0; output.shape()[0]],
                weights: output.clone(),
            },
        })
    }

    /// Length of a projection.
    #[must_use]
    pub fn size(&self) -> usize {
        self.output.bias.len()
    }

    /// The projection of a pooled vector.
    ///
    /// # Panics
    /// Where the vector is not as long as the network's embedding.
    #[must_use]
    pub fn project(&self, pooled: &[f32]) -> Vec<f32> {
        let mut hidden = self.hidden.apply(pooled);
        for value in &mut hidden {
            *value = value.max(0.0);
        }
        self.output.apply(&hidden)
    }
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Projector {:?} {:?}",
            self.hidden.weights.shape(),
            self.output.weights.shape()
        )
    }
}

impl Layer {
    fn apply(&self, input: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.weights.shape()[1], "values of a vector");
        let rows = self.weights.values().chunks_exact(input.len());
        rows.zip(&self.bias)
            .map(|(row, bias)| bias + dot(row, input))
            .collect()
    }
}

/// Sums in eight lanes, which compilers turn into vector code.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

fn find<'a>(heads: &'a Tensors, name: &str) -> Result<&'a Tensor, ProjectorError> {
    let mut tensors = heads.iter();
    let found = tensors.find(|(known, _)| canonical_head(known) == name);
    let missing = || ProjectorError::Missing {
        name: name.to_owned(),
    };
    found.map(|(_, tensor)| tensor).ok_or_else(missing)
}

fn matrix<'a>(heads: &'a Tensors, name: &str, inputs: usize) -> Result<&'a Tensor, ProjectorError> {
    let tensor = find(heads, name)?;
    match *tensor.shape() {
        [_, columns] if columns == inputs => Ok(tensor),
        _ => Err(ProjectorError::Shape {
            name: name.to_owned(),
            found: tensor.shape().to_vec(),
        }),
    }
}

fn vector<'a>(heads: &'a Tensors, name: &str, length: usize) -> Result<&'a [f32], ProjectorError> {
    let tensor = find(heads, name)?;
    match *tensor.shape() {
        [found] if found == length => Ok(tensor.values()),
        _ => Err(ProjectorError::Shape {
            name: name.to_owned(),
            found: tensor.shape().to_vec(),
        }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are float32")]
const fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Tensors {
        let tensor = |shape: &[usize], values: &[f32]| Tensor::new(shape.to_vec(), values.to_vec());
        Tensors::from([
            (
                "projector.linear.weight".to_owned(),
                tensor(&[2, 1], &[1.0, -1.0]),
            ),
            (
                "projector.linear.bias".to_owned(),
                tensor(&[2], &[0.5, 0.0]),
            ),
            (
                "projector.batch_norm.weight".to_owned(),
                tensor(&[2], &[2.0, 1.0]),
            ),
            (
                "projector.batch_norm.bias".to_owned(),
                tensor(&[2], &[1.0, 0.0]),
            ),
            (
                "projector.batch_norm.running_mean".to_owned(),
                tensor(&[2], &[0.5, 0.0]),
            ),
            (
                "projector.batch_norm.running_var".to_owned(),
                tensor(&[2], &[4.0, 1.0]),
            ),
            (
                "projector.linear_1.weight".to_owned(),
                tensor(&[1, 2], &[10.0, 100.0]),
            ),
        ])
    }

    /// hidden = [(3 + 0.5 - 0.5)·2/2 + 1, -3 → 0] = [4, 0]; output = 40.
    #[test]
    fn a_projection_is_linear_batch_norm_relu_linear() {
        let projector = Projector::from_heads(&heads(), 1).unwrap();
        assert_eq!(projector.size(), 1);
        assert!((projector.project(&[3.0])[0] - 40.0).abs() < 1e-3);
    }

    #[test]
    fn heads_of_older_directories_are_read() {
        let older = heads().into_iter();
        let older = older.map(|(name, tensor)| (name.replace("batch_norm", "norm"), tensor));
        let projector = Projector::from_heads(&older.collect(), 1).unwrap();
        assert!((projector.project(&[3.0])[0] - 40.0).abs() < 1e-3);
    }

    #[test]
    fn heads_that_do_not_fit_are_named() {
        assert!(matches!(
            Projector::from_heads(&heads(), 2),
            Err(ProjectorError::Shape { .. })
        ));
        let mut heads = heads();
        heads.remove("projector.batch_norm.bias");
        let missing = Projector::from_heads(&heads, 1).unwrap_err();
        assert_eq!(
            missing,
            ProjectorError::Missing {
                name: "projector.batch_norm.bias".to_owned()
            }
        );
    }
}
