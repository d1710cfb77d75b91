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

/// Most logits that exist at once of one view's predictions against one view's targets: 64 MiB in float32.
const LOGITS: i64 = 1 << 24;

/// The regions of one view as vectors.
#[derive(Clone, Copy, Debug)]
pub struct RegionVectors<'a> {
    /// `[N, R, D]`, of any length; of targets those of all ranks, `[M, R, D]`.
    pub vectors: &'a Tensor,
    /// The mask id of each of this rank's: int64 `[N, R]`.
    pub ids: &'a Tensor,
}

impl RegionVectors<'_> {
    /// Hands on those of some images, with all vectors where they are targets.
    fn ids_of(&self, images: &Images) -> Tensor {
        self.ids.narrow(0, images.first, images.count)
    }
}

/// Images of this rank, from the first of some.
#[derive(Clone, Copy)]
struct Images {
    first: i64,
    count: i64,
}

/// The mean loss of the predictions of both views, a scalar.
///
/// A prediction's positives are the targets of the same mask id in the other view of its image. Everything else in the
/// batch is a negative, in both views, but for the same mask id in its own view. A prediction without a positive counts
/// nothing, and one whose id was drawn k times counts 1/k.
///
/// The targets are those of all ranks, among which this rank's images begin at `own`. However many ranks there are, the
/// logits are made (and differentiated) for so many images at a time that they stay within 64 MiB.
pub fn detcon_loss(
    predictions: [RegionVectors<'_>; 2],
    targets: [RegionVectors<'_>; 2],
    own: i64,
    settings: LossSettings,
) -> Tensor {
    let [images, regions, _] = sizes(predictions[0].vectors);
    let [all, drawn, _] = sizes(targets[0].vectors);
    let at_once = LOGITS / (regions * all * drawn).max(1);
    loss_in_parts(
        predictions,
        targets,
        own,
        settings,
        at_once.clamp(1, images.max(1)),
    )
}

fn loss_in_parts(
    predictions: [RegionVectors<'_>; 2],
    targets: [RegionVectors<'_>; 2],
    own: i64,
    settings: LossSettings,
    at_once: i64,
) -> Tensor {
    let [total, ..] = sizes(predictions[0].vectors);
    let part = |vectors: [&Tensor; 4], images: Images| {
        let [p1, p2, t1, t2] = vectors;
        let [t1, t2] = [t1, t2].map(normalised);
        let of = |vectors: &Tensor, view: usize| Part {
            predictions: normalised(&vectors.narrow(0, images.first, images.count)),
            prediction_ids: predictions[view].ids_of(&images),
            own: images.first + own,
        };
        let target_ids = [0, 1].map(|view: usize| targets[view].ids_of(&images));
        let [i1, i2] = &target_ids;
        let forward = of(p1, 0).loss((&t1, i1), (&t2, i2), settings);
        let loss = forward + of(p2, 1).loss((&t2, i2), (&t1, i1), settings);
        loss * (float(images.count) / float(total))
    };
    let [p1, p2] = predictions.map(|of| of.vectors);
    let [t1, t2] = targets.map(|of| of.vectors);
    let vectors = [p1, p2, t1, t2];
    if at_once >= total {
        return part(
            vectors,
            Images {
                first: 0,
                count: total,
            },
        );
    }
    let starts = (0..total).step_by(usize::try_from(at_once).unwrap_or(1));
    let parts = starts.map(|first| Images {
        first,
        count: at_once.min(total - first),
    });
    differentiated_in_parts(vectors, parts, part)
}

/// The sum of parts, of which only one has its intermediate values in memory: each is differentiated at once, and the
/// gradients are kept, as what is linear in the vectors and has these gradients.
fn differentiated_in_parts(
    vectors: [&Tensor; 4],
    parts: impl Iterator<Item = Images>,
    part: impl Fn([&Tensor; 4], Images) -> Tensor,
) -> Tensor {
    let leaves = vectors.map(|tensor| tensor.detach().set_requires_grad(tensor.requires_grad()));
    let learned: Vec<usize> = (0..4).filter(|&i| vectors[i].requires_grad()).collect();
    let inputs: Vec<&Tensor> = learned.iter().map(|&i| &leaves[i]).collect();
    let mut value = Tensor::zeros([], (vectors[0].kind(), vectors[0].device()));
    let mut gradients: Vec<Tensor> = inputs.iter().map(|leaf| leaf.zeros_like()).collect();
    for images in parts {
        let loss = part(leaves.each_ref(), images);
        value += loss.detach();
        if !inputs.is_empty() {
            for (sum, gradient) in
                gradients
                    .iter_mut()
                    .zip(Tensor::run_backward(&[loss], &inputs, false, false))
            {
                *sum += gradient;
            }
        }
    }
    for (i, gradient) in learned.into_iter().zip(gradients) {
        let linear = (vectors[i] * gradient).sum(None);
        value = value + &linear - linear.detach();
    }
    value
}

/// Some images' predictions of one view.
struct Part {
    predictions: Tensor,
    prediction_ids: Tensor,
    /// The first of these images among the targets.
    own: i64,
}

impl Part {
    /// The mean over the predictions: `own` are the targets of the same view, `other` those of the other, all of unit
    /// length, with the ids of these images.
    fn loss(
        &self,
        own: (&Tensor, &Tensor),
        other: (&Tensor, &Tensor),
        settings: LossSettings,
    ) -> Tensor {
        let vectors = &self.predictions;
        let other_logits = logits(vectors, other.0, settings.temperature);
        let own_logits = logits(vectors, own.0, settings.temperature);
        let same = |ids: &Tensor| same(&self.prediction_ids, ids).to_kind(vectors.kind());
        let (same_own, same_other) = (same(own.1), same(other.1));
        let positives = sum_last(&same_other);
        let attraction =
            sum_last(&(self.own_image(&other_logits) * &same_other)) / positives.clamp_min(1.0);
        let (own_logits, other_logits) = match settings.local_negatives {
            LocalNegatives::Included => (self.exclude(own_logits, &same_own), other_logits),
            LocalNegatives::Excluded => (
                self.exclude(own_logits, &same_own.ones_like()),
                self.exclude(other_logits, &(1.0 - &same_other)),
            ),
        };
        let repulsion = Tensor::cat(&[other_logits, own_logits], 2)
            .flatten(2, 3)
            .logsumexp([2].as_slice(), false);
        let drawn = sum_last(&same(&self.prediction_ids));
        let weights = positives.clamp_max(1.0) / drawn;
        (weights * (repulsion - attraction)).mean(None)
    }

    /// The logits of each image against its own targets: `[N, R, M, S]` → `[N, R, S]`.
    fn own_image(&self, logits: &Tensor) -> Tensor {
        logits.diagonal(self.own, 0, 2).permute([2, 0, 1])
    }

    /// Takes the marked (`[N, R, S]`) of each image's own targets out of the logits.
    fn exclude(&self, logits: Tensor, marked: &Tensor) -> Tensor {
        let mut own = logits.diagonal(self.own, 0, 2);
        let _ = own.g_sub_(&(marked.permute([1, 2, 0]) * EXCLUDED));
        logits
    }
}

fn sizes(vectors: &Tensor) -> [i64; 3] {
    let (images, regions, depth) = vectors.size3().expect("regions have three axes");
    [images, regions, depth]
}

#[expect(clippy::cast_precision_loss, reason = "batches are below 2^52")]
const fn float(count: i64) -> f64 {
    count as f64
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
pub(super) fn same(one: &Tensor, other: &Tensor) -> Tensor {
    one.unsqueeze(2).eq_tensor(&other.unsqueeze(1))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Two images among three others' targets, in whatever parts.
    #[test]
    fn parts_change_neither_the_loss_nor_its_gradients() {
        tch::manual_seed(5);
        let random = |images: i64| {
            Tensor::randn([images, 4, 8], (Kind::Double, Device::Cpu)).set_requires_grad(true)
        };
        let vectors = [random(3), random(3), random(5), random(5)];
        let ids = [0, 1].map(|_| Tensor::randint(3, [3, 4], (Kind::Int64, Device::Cpu)));
        for local_negatives in [LocalNegatives::Included, LocalNegatives::Excluded] {
            let settings = LossSettings {
                temperature: 0.1,
                local_negatives,
            };
            let of = |at_once: i64| {
                let regions = |from: usize| {
                    [0, 1].map(|view: usize| RegionVectors {
                        vectors: &vectors[from + view],
                        ids: &ids[view],
                    })
                };
                let loss = loss_in_parts(regions(0), regions(2), 1, settings, at_once) * 3.0;
                let mut all = Tensor::run_backward(&[&loss], &vectors, false, false);
                all.push(loss.detach());
                all
            };
            let whole = of(3);
            for at_once in [1, 2] {
                for (part, whole) in of(at_once).iter().zip(&whole) {
                    assert!(part.allclose(whole, 1e-12, 1e-12, false), "{at_once}");
                }
            }
        }
    }
}
