//! Between what the contrastive loss lies: what guessing gives, and the least that there is.
//!
//! A loss near the first says that nothing is learned, and one near the second that there is nothing left to learn: the
//! loss alone says neither, since a region that was drawn k times counts 1/k, and one without a positive nothing.

use tch::{Kind, Tensor};

use super::loss::{LocalNegatives, same};

/// Two values of the loss, scalars.
#[derive(Debug)]
pub struct Bounds {
    /// Where all cosines are equal: the mean of weight × ln(candidates).
    pub chance: Tensor,
    /// Where only positives are near: the mean of weight × ln(positives), over which the probability is spread.
    pub floor: Tensor,
}

/// The bounds of [`detcon_loss`](super::detcon_loss) for regions of these ids, int64 `[N, R]` of each view, against
/// `targets` vectors of each view.
#[must_use]
pub fn bounds(ids: [&Tensor; 2], targets: i64, local_negatives: LocalNegatives) -> Bounds {
    let [first, second] = ids;
    let [one, other] = [(first, second), (second, first)]
        .map(|(own, other)| of_view(own, other, targets, local_negatives));
    Bounds {
        chance: one.chance + other.chance,
        floor: one.floor + other.floor,
    }
}

fn of_view(own: &Tensor, other: &Tensor, targets: i64, local_negatives: LocalNegatives) -> Bounds {
    let count =
        |other: &Tensor| same(own, other).sum_dim_intlist([2].as_slice(), false, Kind::Double);
    let (drawn, positives) = (count(own), count(other));
    let weights = positives.clamp_max(1.0) / &drawn;
    let left_out = match local_negatives {
        LocalNegatives::Included => drawn,
        // All of the image's own regions but the positives.
        LocalNegatives::Excluded => positives.ones_like() * (2 * own.size()[1]) - &positives,
    };
    let candidates = left_out.ones_like() * (2 * targets) - left_out;
    Bounds {
        chance: (&weights * candidates.clamp_min(1.0).log()).mean(None),
        floor: (weights * positives.clamp_min(1.0).log()).mean(None),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::objective::{LossSettings, RegionVectors, detcon_loss};

    /// The loss of these ids where `vector` says what each region looks like, with the bounds.
    fn loss(
        ids: &[Tensor; 2],
        local_negatives: LocalNegatives,
        vector: impl Fn(&Tensor) -> Tensor,
    ) -> [f64; 3] {
        let vectors = ids.each_ref().map(vector);
        let views = [0, 1].map(|view: usize| RegionVectors {
            vectors: &vectors[view],
            ids: &ids[view],
        });
        let settings = LossSettings {
            temperature: 0.01,
            local_negatives,
        };
        let Bounds { chance, floor } = bounds(ids.each_ref(), 12, local_negatives);
        [detcon_loss(views, views, 0, settings), chance, floor].map(|it| it.double_value(&[]))
    }

    /// Three images of four regions; some have no positive, some ids are drawn several times.
    #[test]
    fn the_loss_is_its_bounds_where_it_should_be() {
        let first = Tensor::from_slice(&[0_i64, 0, 1, 2, 0, 0, 0, 0, 5, 6, 7, 5]).view([3, 4]);
        let second = Tensor::from_slice(&[0_i64, 1, 1, 3, 0, 0, 0, 1, 8, 9, 8, 9]).view([3, 4]);
        let ids = [first, second];
        for local_negatives in [LocalNegatives::Included, LocalNegatives::Excluded] {
            let alike = |_: &Tensor| Tensor::ones([3, 4, 40], (Kind::Double, Device::Cpu));
            let [found, chance, _] = loss(&ids, local_negatives, alike);
            assert!((found - chance).abs() < 1e-9, "{found} and {chance}");
            // A direction of its own for each id of each image.
            let apart = |ids: &Tensor| {
                let images = Tensor::arange(3, (Kind::Int64, Device::Cpu)).view([3, 1]);
                (ids + images * 10).one_hot(40).to_kind(Kind::Double)
            };
            let [found, chance, floor] = loss(&ids, local_negatives, apart);
            assert!((found - floor).abs() < 1e-9, "{found} and {floor}");
            assert!(0.0 < floor && floor < chance);
        }
    }
}
