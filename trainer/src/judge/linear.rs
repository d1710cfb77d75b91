//! The linear probe: a softmax regression on frozen features, by SGD.
//!
//! Features are brought to zero mean and unit variance by those that it learns from. All learning rates are tried at
//! once on four fifths of them, the other fifth chooses one, and the probe learns from all at that rate. Source of the
//! protocol: linear evaluation of the DetCon paper (section 4) and of He et al. 2020, who search the rate likewise.

use tch::{Kind, Tensor, no_grad};

use super::knn::ranked;
use crate::random::{below, stream};
use crate::tensor::axis;

/// Rates that are tried.
pub const RATES: [f64; 6] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
/// Share of the old step in the next.
const MOMENTUM: f64 = 0.9;
/// Every so many-th vector chooses the rate.
const CHOOSING: usize = 5;
/// Added to variances, so that a feature that is always the same is not divided by 0.
const LEAST_VARIANCE: f64 = 1e-6;

/// How the probe learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearSettings {
    /// Passes over the vectors.
    pub epochs: u32,
    /// Vectors of a step.
    pub batch: usize,
    /// Of the order of the vectors.
    pub seed: u64,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            seed: 0,
        }
    }
}

/// Vectors float32 `[N, D]` and their classes int64 `[N]`.
#[derive(Debug)]
pub struct Vectors {
    /// The vectors.
    pub features: Tensor,
    /// Their classes, from 0.
    pub labels: Tensor,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearResult<const N: usize> {
    /// The rate that was chosen.
    pub rate: f64,
    /// Shares of the vectors asked about whose class is among the first so many.
    pub accuracies: [f64; N],
}

/// Learns from `known` and classifies `asked`; `tops` says among how many first classes the right one counts.
#[must_use]
pub fn probe<const N: usize>(
    known: &Vectors,
    asked: &Vectors,
    settings: LinearSettings,
    tops: [usize; N],
) -> LinearResult<N> {
    no_grad(|| {
        let classes = known.labels.max().int64_value(&[]) + 1;
        let (known, asked) = standardised(known, asked);
        let rate = chosen(&known, classes, settings);
        let scores = fit(&known, classes, &[rate], settings).scores(&asked.features);
        let scores = scores.squeeze_dim(0);
        LinearResult {
            rate,
            accuracies: tops.map(|top| ranked(&scores, &asked.labels, top)),
        }
    })
}

/// Both, by mean and variance of the first.
fn standardised(known: &Vectors, asked: &Vectors) -> (Vectors, Vectors) {
    let mean = known.features.mean_dim([0].as_slice(), true, Kind::Float);
    let variance = (&known.features - &mean).square();
    let variance = variance.mean_dim([0].as_slice(), true, Kind::Float);
    let deviation = (variance + LEAST_VARIANCE).sqrt();
    let moved = |vectors: &Vectors| Vectors {
        features: (&vectors.features - &mean) / &deviation,
        labels: vectors.labels.shallow_clone(),
    };
    (moved(known), moved(asked))
}

/// The rate whose probe knows most of the vectors that it did not learn from; of equals the lowest.
fn chosen(known: &Vectors, classes: i64, settings: LinearSettings) -> f64 {
    let order = order(known, settings.seed, u64::MAX);
    let choosing = (order.len() / CHOOSING).max(1);
    if order.len() < 2 {
        return RATES[0];
    }
    let (choosing, learned) = order.split_at(choosing);
    let [choosing, learned] = [choosing, learned].map(|places| known.at(places));
    let scores = fit(&learned, classes, &RATES, settings).scores(&choosing.features);
    let mut best = (RATES[0], -1.0);
    for (place, rate) in (0..).zip(RATES) {
        let accuracy = ranked(&scores.select(0, place), &choosing.labels, 1);
        if accuracy > best.1 {
            best = (rate, accuracy);
        }
    }
    best.0
}

impl Vectors {
    fn at(&self, places: &[i64]) -> Self {
        let places = Tensor::from_slice(places).to_device(self.features.device());
        Self {
            features: self.features.index_select(0, &places),
            labels: self.labels.index_select(0, &places),
        }
    }
}

/// Softmax regressions, one for each rate.
struct Regression {
    /// `[rates, D, classes]`.
    weights: Tensor,
    /// `[rates, 1, classes]`.
    bias: Tensor,
}

impl Regression {
    /// Probabilities `[rates, N, classes]`.
    fn scores(&self, features: &Tensor) -> Tensor {
        let logits = features.unsqueeze(0).matmul(&self.weights) + &self.bias;
        logits.softmax(-1, Kind::Double)
    }
}

/// SGD with momentum; the rates fall to 0 as a cosine.
fn fit(known: &Vectors, classes: i64, rates: &[f64], settings: LinearSettings) -> Regression {
    let [count, width] = [0, 1].map(|axis| known.features.size()[axis]);
    let options = (Kind::Float, known.features.device());
    let axes = [axis(rates.len()), width, classes];
    let rates = Tensor::from_slice(rates).to_kind(Kind::Float);
    let rates = rates.to_device(options.1).view([-1, 1, 1]);
    let mut found = Regression {
        weights: Tensor::zeros(axes, options),
        bias: Tensor::zeros([axes[0], 1, classes], options),
    };
    let [mut weights_step, mut bias_step] = [&found.weights, &found.bias].map(Tensor::zeros_like);
    let batch = settings.batch.max(1);
    let steps = f64::from(settings.epochs) * f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let mut done = 0.0;
    for epoch in 0..settings.epochs {
        for places in order(known, settings.seed, epoch.into()).chunks(batch) {
            let part = known.at(places);
            let truth = part.labels.one_hot(classes).to_kind(Kind::Float);
            let wrong = found.scores(&part.features).to_kind(Kind::Float) - truth;
            let wrong = wrong / axis(places.len());
            let gradient = part.features.tr().unsqueeze(0).matmul(&wrong);
            weights_step = weights_step * MOMENTUM + gradient;
            bias_step = bias_step * MOMENTUM + wrong.sum_dim_intlist([1].as_slice(), true, None);
            let share = 0.5 * (1.0 + (std::f64::consts::PI * done / steps).cos());
            found.weights -= &weights_step * &rates * share;
            found.bias -= &bias_step * &rates * share;
            done += f64::from(u32::try_from(places.len()).unwrap_or(u32::MAX));
        }
    }
    found
}

/// The places of all vectors, in an order of this count's own.
fn order(vectors: &Vectors, seed: u64, count: u64) -> Vec<i64> {
    let mut random = stream(seed, "linear probe", &[count]);
    let mut places: Vec<i64> = (0..vectors.labels.size()[0]).collect();
    for last in (1..places.len()).rev() {
        places.swap(last, below(last + 1, &mut random));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clusters around corners, of very different scales: each feature matters.
    fn clusters(count: i64, seed: i64) -> Vectors {
        tch::manual_seed(seed);
        let labels = Tensor::randint(3, [count], (Kind::Int64, tch::Device::Cpu));
        let corners = Tensor::from_slice(&[0.0_f32, 0.0, 1000.0, 0.0, 0.0, 0.001]).view([3, 2]);
        let noise = Tensor::randn([count, 2], (Kind::Float, tch::Device::Cpu));
        let noise = noise * Tensor::from_slice(&[150.0_f32, 0.000_15]);
        Vectors {
            features: corners.index_select(0, &labels) + noise,
            labels,
        }
    }

    #[test]
    fn classes_that_a_line_divides_are_told_apart() {
        let (known, asked) = (clusters(300, 1), clusters(200, 2));
        let settings = LinearSettings {
            epochs: 30,
            batch: 64,
            ..LinearSettings::default()
        };
        let found = probe(&known, &asked, settings, [1, 2, 5]);
        assert!(found.accuracies[0] > 0.97, "{found:?}");
        assert!(found.accuracies[1] >= found.accuracies[0], "{found:?}");
        assert!((found.accuracies[2] - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found, probe(&known, &asked, settings, [1, 2, 5]));
    }

    #[test]
    fn labels_that_say_nothing_are_not_learned() {
        let known = clusters(300, 1);
        let mut asked = clusters(300, 2);
        tch::manual_seed(3);
        asked.labels = Tensor::randint(3, [300], (Kind::Int64, tch::Device::Cpu));
        let settings = LinearSettings {
            epochs: 10,
            ..LinearSettings::default()
        };
        let [accuracy] = probe(&known, &asked, settings, [1]).accuracies;
        assert!((0.2..0.47).contains(&accuracy), "{accuracy}");
    }
}
