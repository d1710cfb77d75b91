//! What a step says about itself.

use serde::Serialize;
use tch::{Tensor, no_grad};

/// The numbers of one step, as upstream logs them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Logs {
    /// What is minimised: the sum of the next two.
    pub loss: f64,
    /// The contrastive loss (upstream: `repr_loss`).
    pub contrast: f64,
    /// The classifier's loss on the first view (upstream: `classif_loss`).
    pub classification: f64,
    /// Projections of the first view (upstream: `proj_mean` …).
    pub projections: Spread,
    /// Predictions of the first view (upstream: `pred_mean` …).
    pub predictions: Spread,
    /// The step's learning rate (upstream: `lr`).
    pub learning_rate: f64,
    /// What the target kept of itself (upstream: `tau`).
    pub target_decay: f64,
}

/// How vectors are spread: the first sign of a collapse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean of all values.
    pub mean: f64,
    /// Standard deviation of each feature over the regions, averaged.
    pub deviation: f64,
    /// The same of the vectors brought to unit length.
    pub normalized_deviation: f64,
}

impl Spread {
    /// Of `[N, R, D]`.
    pub(super) fn of(vectors: &Tensor) -> Self {
        no_grad(|| {
            let vectors = vectors.detach();
            let deviation = |vectors: &Tensor| {
                let deviations = vectors.std_dim([0].as_slice(), false, false);
                deviations.mean(None).double_value(&[])
            };
            let lengths = vectors
                .square()
                .sum_dim_intlist([-1].as_slice(), true, None)
                .sqrt();
            Self {
                mean: vectors.mean(None).double_value(&[]),
                deviation: deviation(&vectors),
                normalized_deviation: deviation(&(&vectors / lengths)),
            }
        })
    }
}
