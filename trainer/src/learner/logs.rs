//! What a step says about itself.

use serde::Serialize;
use tch::{Kind, Tensor, no_grad};

use super::Contrast;
use super::outputs::Outputs;
use crate::distributed::Group;

/// The numbers of one step, as upstream logs them and two more: means over ranks and parts of what each had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Logs {
    /// What is minimised: the sum of the next two.
    pub loss: f64,
    /// The contrastive loss (upstream: `repr_loss`); 0 where there is none.
    pub contrast: f64,
    /// What the contrastive loss is where nothing tells regions apart.
    pub chance: f64,
    /// The least that it can be, with the regions that were drawn.
    pub floor: f64,
    /// The classifier's loss on the first view (upstream: `classif_loss`).
    pub classification: f64,
    /// Projections of the first view (upstream: `proj_mean` …), where there is a contrast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projections: Option<Spread>,
    /// Predictions of the first view (upstream: `pred_mean` …), likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions: Option<Spread>,
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
    /// Standard deviation of each feature over the images, averaged over regions and features.
    pub deviation: f64,
    /// The same of the vectors brought to unit length.
    pub normalized_deviation: f64,
    /// In how many directions the unit vectors spread about their mean: `(Σλ)²/Σλ²` of their covariance's eigenvalues
    /// (the participation ratio), from 1 to the length of a vector; 0 where all are the same.
    pub effective_rank: f64,
}

impl Spread {
    const COUNT: usize = 4;

    /// The four numbers of `[N, R, D]`, float64 on its device.
    fn of(vectors: &Tensor) -> [Tensor; Self::COUNT] {
        let vectors = vectors.detach();
        let deviation = |vectors: &Tensor| vectors.std_dim([0].as_slice(), false, false).mean(None);
        let squares = vectors.square();
        let lengths = squares.sum_dim_intlist([-1].as_slice(), true, None).sqrt();
        let unit = &vectors / lengths;
        let flat = unit.flatten(0, 1);
        let centred = &flat - flat.mean_dim([0].as_slice(), true, None);
        let covariance = centred.tr().matmul(&centred);
        let total = covariance.trace().square();
        let rank = total
            / covariance
                .square()
                .sum(None)
                .clamp_min(f64::MIN_POSITIVE.sqrt());
        [
            vectors.mean(None),
            deviation(&vectors),
            deviation(&unit),
            rank,
        ]
    }

    const fn from(
        [mean, deviation, normalized_deviation, effective_rank]: [f64; Self::COUNT],
    ) -> Self {
        Self {
            mean,
            deviation,
            normalized_deviation,
            effective_rank,
        }
    }
}

/// The losses of a part of a batch.
pub(super) struct Losses<'a> {
    pub(super) contrast: Option<&'a Contrast>,
    pub(super) classification: &'a Tensor,
}

/// The sum of what the parts of a batch have to say. It stays on the device until it is asked for.
#[derive(Debug, Default)]
pub(super) struct Means {
    sum: Option<Tensor>,
    parts: u32,
}

impl Means {
    pub(super) fn add(&mut self, losses: &Losses<'_>, outputs: &Outputs) {
        no_grad(|| {
            let mut numbers = vec![losses.classification.detach()];
            if let (Some(Contrast { loss, bounds }), Some(regions)) =
                (losses.contrast, &outputs.regions)
            {
                numbers.extend([loss.detach()]);
                numbers.extend([&bounds.chance, &bounds.floor].map(Tensor::shallow_clone));
                numbers.extend(Spread::of(&regions.projections));
                numbers.extend(Spread::of(&regions.predictions));
            }
            let numbers = numbers.iter().map(|number| number.to_kind(Kind::Double));
            let numbers = Tensor::stack(&numbers.collect::<Vec<_>>(), 0);
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + numbers,
                None => numbers,
            });
        });
        self.parts += 1;
    }

    /// The means over the parts and over the ranks.
    ///
    /// # Panics
    /// Where nothing was added.
    pub(super) fn over(self, group: Option<&Group>) -> Vec<f64> {
        let mut mean = self.sum.expect("a batch has parts") / f64::from(self.parts);
        if let Some(group) = group {
            group.average([&mut mean]);
        }
        Vec::<f64>::try_from(&mean).expect("a vector of doubles can be read")
    }
}

impl Logs {
    /// Of the numbers that [`Means`] took note of.
    pub(super) fn new(numbers: &[f64], learning_rate: f64, target_decay: f64) -> Self {
        let mut numbers = numbers.iter().copied();
        let mut next = || numbers.next();
        let classification = next().unwrap_or(f64::NAN);
        let [contrast, chance, floor] = [(); 3].map(|()| next().unwrap_or(0.0));
        let mut spread = || {
            let numbers = [next()?, next()?, next()?, next()?];
            Some(Spread::from(numbers))
        };
        Self {
            loss: contrast + classification,
            contrast,
            chance,
            floor,
            classification,
            projections: spread(),
            predictions: spread(),
            learning_rate,
            target_decay,
        }
    }
}
