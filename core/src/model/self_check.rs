//! A model's own check: an input and the embedding that the reference forward pass gives for it.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Images and the embeddings that a right engine gives for them.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfCheck {
    /// Shape of the images: `[N, H, W, 3]`.
    pub shape: [usize; 4],
    /// uint8 RGB, as the graph's input `images` takes them.
    pub images: Vec<u8>,
    /// Expected `[N, D]`, row by row.
    pub embedding: Vec<f32>,
    /// Largest difference allowed, as a share of the largest magnitude in `embedding`.
    pub tolerance: f32,
}

/// How far an engine's answer was off.
#[derive(Debug, thiserror::Error)]
pub enum Disagreement {
    /// Another number of values.
    #[error("the engine gave {found} values where {expected} were expected")]
    Length {
        /// The engine's.
        found: usize,
        /// The self-check's.
        expected: usize,
    },
    /// Other values, or values that are no numbers.
    #[error(
        "the engine's embedding is {error:.1e} of its largest magnitude away from the reference ({tolerance:.1e} allowed)"
    )]
    Values {
        /// Largest difference as a share of the largest magnitude.
        error: f32,
        /// What is allowed.
        tolerance: f32,
    },
}

impl SelfCheck {
    /// Compares an engine's answer; the error is a share of the largest expected magnitude.
    pub fn compare(&self, embedding: &[f32]) -> Result<f32, Disagreement> {
        if embedding.len() != self.embedding.len() {
            return Err(Disagreement::Length {
                found: embedding.len(),
                expected: self.embedding.len(),
            });
        }
        let largest = self
            .embedding
            .iter()
            .fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let pairs = embedding.iter().zip(&self.embedding);
        // `max` passes over a NaN; here it must stay.
        let worse = |most: f32, e: f32| if most.is_nan() || e <= most { most } else { e };
        let error = pairs.map(|(a, b)| (a - b).abs() / largest).fold(0.0, worse);
        if error <= self.tolerance {
            Ok(error)
        } else {
            Err(Disagreement::Values {
                error,
                tolerance: self.tolerance,
            })
        }
    }

    /// As a safetensors file: `images` uint8 and `embedding` float32.
    pub fn to_bytes(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let embedding: Vec<u8> = self
            .embedding
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let rows = vec![self.shape[0], self.embedding.len() / self.shape[0].max(1)];
        let tensors = [
            (
                "images",
                TensorView::new(Dtype::U8, self.shape.to_vec(), &self.images)?,
            ),
            ("embedding", TensorView::new(Dtype::F32, rows, &embedding)?),
        ];
        safetensors::serialize(tensors, None::<HashMap<String, String>>)
    }

    pub(super) fn from_bytes(
        bytes: &[u8],
        tolerance: f32,
        embedding_size: usize,
    ) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let tensor = |name: &str| tensors.tensor(name).map_err(|error| error.to_string());
        let (images, embedding) = (tensor("images")?, tensor("embedding")?);
        let shape = match *images.shape() {
            [n, height, width, 3] if n > 0 && images.dtype() == Dtype::U8 => [n, height, width, 3],
            _ => {
                return Err(format!(
                    "images are {:?} {:?}, not uint8 [N, H, W, 3]",
                    images.dtype(),
                    images.shape()
                ));
            }
        };
        if embedding.dtype() != Dtype::F32 || embedding.shape() != [shape[0], embedding_size] {
            let (dtype, found) = (embedding.dtype(), embedding.shape());
            return Err(format!(
                "embedding is {dtype:?} {found:?}, not float32 [{}, {embedding_size}]",
                shape[0]
            ));
        }
        let (values, _) = embedding.data().as_chunks();
        let embedding = values
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect();
        Ok(Self {
            shape,
            images: images.data().to_vec(),
            embedding,
            tolerance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> SelfCheck {
        SelfCheck {
            shape: [1, 1, 1, 3],
            images: vec![1, 2, 3],
            embedding: vec![1.0, -2.0],
            tolerance: 0.01,
        }
    }

    #[test]
    fn a_self_check_survives_its_file() {
        let bytes = check().to_bytes().unwrap();
        assert_eq!(SelfCheck::from_bytes(&bytes, 0.01, 2), Ok(check()));
        assert!(SelfCheck::from_bytes(&bytes, 0.01, 3).is_err());
    }

    #[test]
    fn answers_within_the_tolerance_pass_and_others_do_not() {
        assert!(check().compare(&[1.01, -2.01]).is_ok());
        assert!(matches!(
            check().compare(&[1.03, -2.0]),
            Err(Disagreement::Values { .. })
        ));
        assert!(matches!(
            check().compare(&[1.0]),
            Err(Disagreement::Length { .. })
        ));
    }

    #[test]
    fn an_answer_that_is_no_number_never_passes() {
        assert!(check().compare(&[f32::NAN, -2.0]).is_err());
        assert!(check().compare(&[1.0, f32::NAN]).is_err());
        assert!(check().compare(&[f32::INFINITY, -2.0]).is_err());
    }
}
