//! A segmentation head: what gives each cell of a network's features a score for each class.
//!
//! It refuses tensors that are not exactly its kind's, and images that would take seconds.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, s};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scores::Scores;
use super::{FeatureMap, SegmentError, SegmentMap};
use crate::checkpoint::{Tensor, Tensors};

/// Side of an FCN's first convolution.
const KERNEL: usize = 3;

/// What a head is made of. Convolutions keep the grid's size: zeros surround it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// A 1×1 convolution.
    Linear,
    /// A 3×3 convolution with its batch norm folded in, ReLU, and a 1×1 convolution (Long et al. 2015, as the
    /// literature transfers to it).
    Fcn,
}

impl HeadKind {
    /// The classes' convolution: `[classes, inputs, 1, 1]` and `[classes]`.
    pub const CLASSIFIER: [&str; 2] = ["classifier.weight", "classifier.bias"];
    /// An FCN's first convolution: `[hidden, channels, 3, 3]` and `[hidden]`.
    pub const HIDDEN: [&str; 2] = ["hidden.weight", "hidden.bias"];

    /// The tensors that it has.
    #[must_use]
    pub const fn tensors(self) -> &'static [[&'static str; 2]] {
        match self {
            Self::Linear => &[Self::CLASSIFIER],
            Self::Fcn => &[Self::CLASSIFIER, Self::HIDDEN],
        }
    }
}

/// Why tensors are no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Names are missing or too many.
    #[error("it has the tensors {found:?} and not exactly {expected:?}")]
    Names {
        /// Those it has.
        found: Vec<String>,
        /// Those of its kind.
        expected: Vec<&'static str>,
    },
    /// A tensor has another shape.
    #[error("{name} has shape {found:?}, and {expected:?} fits")]
    Shape {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What fits.
        expected: Vec<usize>,
    },
    /// A weight is NaN or infinite.
    #[error("{name} holds a value that is no finite number")]
    NotFinite {
        /// The tensor.
        name: &'static str,
    },
}

/// A head whose tensors fit each other.
#[derive(Clone)]
pub struct SegmentationHead {
    hidden: Option<Hidden>,
    /// `[classes, inputs]`.
    weights: Array2<f32>,
    bias: Vec<f32>,
    channels: usize,
}

/// An FCN's first convolution.
#[derive(Clone)]
struct Hidden {
    /// `[hidden, channels]` of each tap, row by row.
    taps: Vec<Array2<f32>>,
    bias: Vec<f32>,
}

/// Scores of the classes in each cell.
#[derive(Clone, Debug)]
pub struct Logits(Scores);

impl SegmentationHead {
    /// Most multiplications for an image: about two seconds of one core.
    pub const MAX_WORK: u64 = 1 << 35;

    /// The head of a kind that reads features of `channels` and tells `classes` apart.
    pub fn from_tensors(
        kind: HeadKind,
        tensors: &Tensors,
        channels: usize,
        classes: usize,
    ) -> Result<Self, HeadError> {
        let mut expected = kind.tensors().concat();
        expected.sort_unstable();
        if !tensors.keys().eq(&expected) {
            let found = tensors.keys().cloned().collect();
            return Err(HeadError::Names { found, expected });
        }
        let [weight_name, bias_name] = HeadKind::CLASSIFIER;
        let (hidden, inputs) = match kind {
            HeadKind::Linear => (None, channels),
            HeadKind::Fcn => {
                let hidden = Hidden::from_tensors(tensors, channels)?;
                let inputs = hidden.bias.len();
                (Some(hidden), inputs)
            }
        };
        let weights = shaped(tensors, weight_name, &[classes, inputs, 1, 1])?;
        let bias = shaped(tensors, bias_name, &[classes])?;
        Ok(Self {
            hidden,
            weights: Array2::from_shape_fn((classes, inputs), |(class, input)| {
                weights.values()[class * inputs + input]
            }),
            bias: bias.values().to_vec(),
            channels,
        })
    }

    /// Scores of the classes in each cell of `features`.
    pub fn logits(&self, features: FeatureMap<'_>) -> Result<Logits, SegmentError> {
        let (height, width) = (features.height(), features.width());
        if features.channels() != self.channels {
            return Err(SegmentError::Channels {
                found: features.channels(),
                expected: self.channels,
            });
        }
        let work = (features.cells() as u64).saturating_mul(self.multiplications());
        if work > Self::MAX_WORK {
            let limit = Self::MAX_WORK;
            return Err(SegmentError::HeadTooMuchWork { work, limit });
        }
        let (rows, columns) = (height as usize, width as usize);
        // Rows of an FCN's hidden features are longer than the grid's.
        let (inputs, line) = match &self.hidden {
            None => (matrix(features), columns),
            Some(hidden) => (hidden.apply(features), columns + KERNEL - 1),
        };
        let classes = self.bias.len();
        let mut scores = Array2::zeros((classes, inputs.ncols()));
        general_mat_mul(1.0, &self.weights, &inputs, 0.0, &mut scores);
        let cells = (0..rows).flat_map(|y| (0..columns).map(move |x| y * line + x));
        let values = cells.flat_map(|cell| {
            let column = scores.column(cell).into_iter().zip(&self.bias);
            column.map(|(score, bias)| score + bias)
        });
        let values = values.collect();
        Ok(Logits(Scores::new([height, width], classes, values)))
    }

    /// Multiplications for a cell.
    fn multiplications(&self) -> u64 {
        let hidden = self.hidden.as_ref().map_or(0, |hidden| {
            hidden.taps.len() * hidden.bias.len() * self.channels
        });
        (hidden + self.weights.len()) as u64
    }
}

impl Hidden {
    fn from_tensors(tensors: &Tensors, channels: usize) -> Result<Self, HeadError> {
        let [weight_name, bias_name] = HeadKind::HIDDEN;
        let outputs = tensors[bias_name].values().len();
        let weights = shaped(tensors, weight_name, &[outputs, channels, KERNEL, KERNEL])?;
        let bias = shaped(tensors, bias_name, &[outputs])?;
        let taps = KERNEL * KERNEL;
        let tap = |tap| {
            Array2::from_shape_fn((outputs, channels), |(output, input)| {
                weights.values()[(output * channels + input) * taps + tap]
            })
        };
        Ok(Self {
            taps: (0..taps).map(tap).collect(),
            bias: bias.values().to_vec(),
        })
    }

    /// After the ReLU: `[hidden, height × (width + 2)]`, where the last two of each row mean nothing. With rows of that
    /// length each tap is one matrix product over a shifted view of the grid in its frame of zeros.
    fn apply(&self, features: FeatureMap<'_>) -> Array2<f32> {
        let (rows, columns) = (features.height() as usize, features.width() as usize);
        let line = columns + KERNEL - 1;
        let framed = (rows + KERNEL - 1) * line + KERNEL - 1;
        let mut grid = Array2::<f32>::zeros((features.channels(), framed));
        for (plane, mut framed) in features.planes().zip(grid.rows_mut()) {
            for (y, row) in plane.chunks_exact(columns).enumerate() {
                for (x, value) in row.iter().enumerate() {
                    framed[(y + 1) * line + x + 1] = *value;
                }
            }
        }
        let mut outputs = Array2::zeros((self.bias.len(), rows * line));
        for (mut row, bias) in outputs.rows_mut().into_iter().zip(&self.bias) {
            row.fill(*bias);
        }
        for (tap, weights) in self.taps.iter().enumerate() {
            let shift = tap / KERNEL * line + tap % KERNEL;
            let seen = grid.slice(s![.., shift..shift + rows * line]);
            general_mat_mul(1.0, weights, &seen, 1.0, &mut outputs);
        }
        outputs.mapv_inplace(|value| value.max(0.0));
        outputs
    }
}

impl Logits {
    /// The scores: `[height, width, classes]`, row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        self.0.values()
    }

    /// Height and width of the grid.
    #[must_use]
    pub const fn size(&self) -> [u32; 2] {
        self.0.size()
    }

    /// The class of each pixel at another size, such as the image's: scores are interpolated bilinearly with half-pixel
    /// centres, and the highest wins, of equals the first.
    pub fn classes(&self, height: u32, width: u32) -> Result<SegmentMap, SegmentError> {
        self.0.upsample(height, width, largest)
    }
}

impl std::fmt::Debug for SegmentationHead {
    /// Its shape alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hidden = self.hidden.as_ref().map(|hidden| hidden.bias.len());
        let (channels, classes) = (self.channels, self.bias.len());
        write!(f, "SegmentationHead({channels} → {hidden:?} → {classes})")
    }
}

/// `[channels, cells]`.
fn matrix(features: FeatureMap<'_>) -> Array2<f32> {
    let shape = (features.channels(), features.cells());
    let values: Vec<f32> = features.planes().flatten().copied().collect();
    Array2::from_shape_vec(shape, values).expect("a feature map is as long as its shape says")
}

/// A tensor that is there, of this shape.
fn shaped<'a>(
    tensors: &'a Tensors,
    name: &'static str,
    shape: &[usize],
) -> Result<&'a Tensor, HeadError> {
    let tensor = &tensors[name];
    if tensor.shape() != shape {
        return Err(HeadError::Shape {
            name,
            found: tensor.shape().to_vec(),
            expected: shape.to_vec(),
        });
    }
    if tensor.values().iter().all(|value| value.is_finite()) {
        Ok(tensor)
    } else {
        Err(HeadError::NotFinite { name })
    }
}

/// The place of the largest score, of equals the first.
fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests;
