//! The contrastive loss between the regions of two views.
//!
//! Source: `byol_nce_detcon` of the published `utils/losses.py`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Subtracted from the logits that take no part, as upstream does: their exponentials are 0, and none is infinite.
const EXCLUDED: f64 = 1e9;
/// Smallest squared norm that is divided by (`l2_normalize` of BYOL's `utils/helpers.py`).
const SMALLEST_SQUARE: f64 = 1e-12;

/// Whether the other regions of an image count against its regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalNegatives {
    /// They do, as in upstream's recipes.
    Included,
    /// Only other images' do.
    Excluded,
}

/// What the loss depends on beside the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossSettings {
    /// Cosines are divided by it (upstream: 0.1).
    pub temperature: f64,
    /// Whether the other regions of an image count against its regions.
    pub local_negatives: LocalNegatives,
}

/// The regions of one view as vectors.
#[derive(Clone, Copy, Debug)]
pub struct RegionVectors<'a> {
    /// `[N, R, D]`, of any length.
    pub vectors: &'a Tensor,
    /// The mask id of each: int64 `[N, R]`.
    pub ids: &'a Tensor,
}

/// The mean loss of the predictions of both views, a scalar.
///
/// A prediction's positives are the targets of the same mask id in the other view of its image. Everything else in the
/// batch is a negative, in both views, but for the same mask id in its own view. A prediction without a positive counts
/// nothing, and one whose id was drawn k times counts 1/k.
pub fn detcon_loss(
    predictions: [RegionVectors<'_>; 2],
    targets: [RegionVectors<'_>; 2],
    settings: LossSettings,
) -> Tensor {
    let targets = targets.map(|target| (normalised(target.vectors), target.ids));
    let [one, other] = predictions;
    let [(t1, i1), (t2, i2)] = &targets;
    let forward = view_loss(one, (t1, i1), (t2, i2), settings);
    forward + view_loss(other, (t2, i2), (t1, i1), settings)
}

/// The loss of one view's predictions: `own` are the targets of the same view, `other` those of the other.
fn view_loss(
    prediction: RegionVectors<'_>,
    own: (&Tensor, &Tensor),
    other: (&Tensor, &Tensor),
    settings: LossSettings,
) -> Tensor {
    let vectors = normalised(prediction.vectors);
    let other_logits = logits(&vectors, other.0, settings.temperature);
    let own_logits = logits(&vectors, own.0, settings.temperature);
    let same = |ids: &Tensor| same(prediction.ids, ids).to_kind(vectors.kind());
    let (same_own, same_other) = (same(own.1), same(other.1));
    let positives = sum_last(&same_other);
    let attraction = sum_last(&(own_image(&other_logits) * &same_other)) / positives.clamp_min(1.0);
    let (own_logits, other_logits) = match settings.local_negatives {
        LocalNegatives::Included => (exclude(own_logits, &same_own), other_logits),
        LocalNegatives::Excluded => (
            exclude(own_logits, &same_own.ones_like()),
            exclude(other_logits, &(1.0 - &same_other)),
        ),
    };
    let repulsion = Tensor::cat(&[other_logits, own_logits], 2)
        .flatten(2, 3)
        .logsumexp([2].as_slice(), false);
    let drawn = sum_last(&same(prediction.ids));
    let weights = positives.clamp_max(1.0) / drawn;
    (weights * (repulsion - attraction)).mean(None)
}

/// Unit vectors along the last axis.
fn normalised(vectors: &Tensor) -> Tensor {
    let squares = vectors
        .square()
        .sum_dim_intlist([-1].as_slice(), true, None);
    vectors * squares.clamp_min(SMALLEST_SQUARE).rsqrt()
}

fn sum_last(values: &Tensor) -> Tensor {
    values.sum_dim_intlist([-1].as_slice(), false, None)
}

/// Every prediction against every target: `[N, R, D]`, `[M, S, D]` → `[N, R, M, S]`.
fn logits(predictions: &Tensor, targets: &Tensor, temperature: f64) -> Tensor {
    let (n, r, depth) = predictions.size3().expect("regions have three axes");
    let (m, s, _) = targets.size3().expect("regions have three axes");
    let flat = predictions.reshape([n * r, depth]);
    (flat.matmul(&targets.reshape([m * s, depth]).tr()) / temperature).view([n, r, m, s])
}

/// Whether ids are the same: `[N, R]`, `[N, S]` → bool `[N, R, S]`.
fn same(one: &Tensor, other: &Tensor) -> Tensor {
    one.unsqueeze(2).eq_tensor(&other.unsqueeze(1))
}

/// The logits of each image against its own targets: `[N, R, N, S]` → `[N, R, S]`.
fn own_image(logits: &Tensor) -> Tensor {
    logits.diagonal(0, 0, 2).permute([2, 0, 1])
}

/// Takes the marked (`[N, R, S]`) of each image's own targets out of the logits.
fn exclude(logits: Tensor, marked: &Tensor) -> Tensor {
    let mut own = logits.diagonal(0, 0, 2);
    let _ = own.g_sub_(&(marked.permute([1, 2, 0]) * EXCLUDED));
    logits
}
