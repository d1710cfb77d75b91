//! The weighted nearest-neighbour classifier on frozen features.
//!
//! Features are brought to unit length; each of the nearest neighbours votes for its class with
//! exp(cosine ÷ temperature). Source: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance
//! discrimination", section 3.4, which takes 0.07; 20 neighbours as Caron et al. 2021, "Emerging properties in self-supervised vision
//! transformers". It refuses features and labels that do not match.

use std::num::NonZeroUsize;

use tch::{Kind, Tensor, no_grad};

use crate::tensor::axis;

/// Vectors that are asked about at once: their similarities to all that are known are in memory together.
const AT_ONCE: i64 = 1024;
/// Added to lengths, so that a vector of zeros is as far from everything as a vector can be.
const LEAST_LENGTH: f64 = 1e-12;

/// How neighbours vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnSettings {
    /// Neighbours that vote, or all that are known where those are fewer.
    pub neighbours: NonZeroUsize,
    /// Lower temperatures give the nearest more weight.
    pub temperature: f64,
}

impl Default for KnnSettings {
    fn default() -> Self {
        Self {
            neighbours: const { NonZeroUsize::new(20).expect("not 0") },
            temperature: 0.07,
        }
    }
}

/// Feature vectors, each with its class.
#[derive(Debug)]
pub struct Labelled {
    /// float32 `[N, D]`, of unit length.
    features: Tensor,
    /// int64 `[N]`.
    labels: Tensor,
}

/// Why vectors cannot be classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnnError {
    /// Not one class for each vector.
    #[error("{values} values are not {labels} vectors of {width}")]
    Shape {
        /// Values given.
        values: usize,
        /// Values of a vector.
        width: usize,
        /// Classes given.
        labels: usize,
    },
    /// No vector at all.
    #[error("there are no labelled vectors")]
    Empty,
    /// Vectors of different networks.
    #[error("vectors of {asked} values cannot be compared with vectors of {known}")]
    Width {
        /// Values of a vector whose class is known.
        known: i64,
        /// Values of a vector whose class is asked.
        asked: i64,
    },
}

impl Labelled {
    /// Vectors of `width` values, one after the other, and the class of each, from 0.
    pub fn new(values: &[f32], width: usize, labels: &[u32]) -> Result<Self, KnnError> {
        if labels.is_empty() || width == 0 {
            return Err(KnnError::Empty);
        }
        if labels.len().checked_mul(width) != Some(values.len()) {
            return Err(KnnError::Shape {
                values: values.len(),
                width,
                labels: labels.len(),
            });
        }
        let labels: Vec<i64> = labels.iter().copied().map(i64::from).collect();
        let features = Tensor::from_slice(values).view([axis(labels.len()), axis(width)]);
        Ok(Self {
            features: unit(&features),
            labels: Tensor::from_slice(&labels),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.labels.size()[0]).unwrap_or_default()
    }

    /// Never: nothing is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The class of each vector of `asked`, by those of `known`.
pub fn classify(
    known: &Labelled,
    asked: &Labelled,
    settings: KnnSettings,
) -> Result<Vec<u32>, KnnError> {
    let found = votes(known, asked, settings)?.argmax(1, false);
    let found = Vec::<i64>::try_from(&found).unwrap_or_default();
    let class = |class: i64| u32::try_from(class).unwrap_or(u32::MAX);
    Ok(found.into_iter().map(class).collect())
}

/// The share of the vectors of `asked` that those of `known` put into their class, from 0 to 1.
pub fn accuracy(
    known: &Labelled,
    asked: &Labelled,
    settings: KnnSettings,
) -> Result<f64, KnnError> {
    Ok(accuracies(known, asked, settings, [1])?[0])
}

/// The share of the vectors of `asked` whose class is among the first so many by the votes of `known`, for each of
/// `tops`. A class that no neighbour votes for is among none.
pub fn accuracies<const N: usize>(
    known: &Labelled,
    asked: &Labelled,
    settings: KnnSettings,
    tops: [usize; N],
) -> Result<[f64; N], KnnError> {
    let votes = votes(known, asked, settings)?;
    Ok(tops.map(|top| ranked(&votes, &asked.labels, top)))
}

/// The share of the rows of `scores` (float32 `[N, classes]`) in which the score of the row's label is above 0 and
/// among the `top` highest.
pub(super) fn ranked(scores: &Tensor, labels: &Tensor, top: usize) -> f64 {
    let top = axis(top).min(scores.size()[1]);
    let (highest, places) = scores.topk(top, 1, true, true);
    let right = places
        .eq_tensor(&labels.unsqueeze(1))
        .logical_and(&highest.gt(0.0));
    let right = right.any_dim(1, false);
    right.to_kind(Kind::Double).mean(None).double_value(&[])
}

/// float32 `[N of asked, classes of known]`.
fn votes(known: &Labelled, asked: &Labelled, settings: KnnSettings) -> Result<Tensor, KnnError> {
    let [known_width, asked_width] = [known, asked].map(|set| set.features.size()[1]);
    if known_width != asked_width {
        return Err(KnnError::Width {
            known: known_width,
            asked: asked_width,
        });
    }
    let classes = known.labels.max().int64_value(&[]) + 1;
    let neighbours = axis(settings.neighbours.get().min(known.len()));
    Ok(no_grad(|| {
        let parts = asked.features.split(AT_ONCE, 0);
        let parts = parts.into_iter().map(|part| {
            let similarities = part.matmul(&known.features.transpose(0, 1));
            let (nearest, places) = similarities.topk(neighbours, 1, true, true);
            // The nearest votes with 1: all weights are as high as their ratio needs, and none overflows.
            let highest = nearest.slice(1, 0, 1, 1);
            let weights = ((nearest - highest) / settings.temperature).exp();
            let labels = known.labels.take(&places);
            let votes = Tensor::zeros([part.size()[0], classes], (Kind::Float, part.device()));
            votes.scatter_add(1, &labels, &weights)
        });
        Tensor::cat(&parts.collect::<Vec<_>>(), 0)
    }))
}

fn unit(features: &Tensor) -> Tensor {
    let lengths = features
        .square()
        .sum_dim_intlist([1].as_slice(), true, None);
    features / (lengths.sqrt() + LEAST_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(vectors: &[[f32; 2]], labels: &[u32]) -> Labelled {
        Labelled::new(vectors.as_flattened(), 2, labels).unwrap()
    }

    fn settings(neighbours: usize) -> KnnSettings {
        KnnSettings {
            neighbours: NonZeroUsize::new(neighbours).unwrap(),
            temperature: 0.07,
        }
    }

    #[test]
    fn directions_decide_and_lengths_do_not() {
        let known = labelled(&[[1.0, 0.0], [0.0, 100.0]], &[4, 2]);
        let asked = labelled(&[[0.1, 0.02], [1.0, 9.0], [70.0, 80.0]], &[4, 2, 4]);
        let found = classify(&known, &asked, KnnSettings::default()).unwrap();
        assert_eq!(found, [4, 2, 2]);
        let accuracy = accuracy(&known, &asked, KnnSettings::default()).unwrap();
        assert!((accuracy - 2.0 / 3.0).abs() < 1e-9, "{accuracy}");
    }

    /// One very near neighbour against two of another class: their weights decide, as exp(cosine ÷ temperature).
    #[test]
    fn near_neighbours_have_more_weight_than_many_far_ones() {
        let at = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let known = labelled(&[at(5.0), at(40.0), at(-40.0)], &[0, 1, 1]);
        let asked = labelled(&[at(0.0)], &[0]);
        assert_eq!(classify(&known, &asked, settings(3)).unwrap(), [0]);
        let flat = KnnSettings {
            temperature: 10.0,
            ..settings(3)
        };
        assert_eq!(classify(&known, &asked, flat).unwrap(), [1]);
        assert_eq!(
            classify(
                &known,
                &asked,
                KnnSettings {
                    neighbours: NonZeroUsize::MIN,
                    ..flat
                }
            )
            .unwrap(),
            [0]
        );
    }

    #[test]
    fn what_does_not_match_is_refused() {
        let refusal = |values: &[f32], width, labels: &[u32]| {
            Labelled::new(values, width, labels).unwrap_err()
        };
        assert_eq!(refusal(&[], 2, &[]), KnnError::Empty);
        assert!(matches!(
            refusal(&[1.0; 3], 2, &[0]),
            KnnError::Shape { values: 3, .. }
        ));
        let narrow = Labelled::new(&[1.0], 1, &[0]).unwrap();
        let wide = labelled(&[[1.0, 0.0]], &[0]);
        let error = accuracy(&narrow, &wide, KnnSettings::default()).unwrap_err();
        assert_eq!(error, KnnError::Width { known: 1, asked: 2 });
    }
}
