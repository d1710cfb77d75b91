//! A segmentation head in training: features are scaled to unit variance, and what scales them is folded into the
//! weights when it is done, as batch norms are.

use detcon_core::arch::BATCH_NORM_EPSILON;
use detcon_core::checkpoint::Tensors;
use detcon_core::segment::HeadKind;
use tch::nn::{self, Module as _, ModuleT as _, VarStore};
use tch::{Device, Kind, Tensor, no_grad};

use crate::tensor::{axis, to_core};

/// Channels between an FCN's convolutions, as the literature transfers with (He et al. 2020, appendix A.3).
const HIDDEN: i64 = 256;
/// Added to variances, so that a channel that is always the same is not divided by 0.
const LEAST_VARIANCE: f64 = 1e-6;

/// Mean and variance of each channel, over all cells of all images.
#[derive(Debug)]
pub(super) struct Spread {
    mean: Tensor,
    deviation: Tensor,
}

impl Spread {
    /// Of features `[C, h, w]` of several images.
    pub(super) fn of<'a>(features: impl Iterator<Item = &'a Tensor>) -> Self {
        let (mut sum, mut squares, mut cells) = (Tensor::from(0.0), Tensor::from(0.0), 0);
        for image in features {
            let image = image.to_kind(Kind::Double).flatten(1, 2);
            sum = &sum + image.sum_dim_intlist([1].as_slice(), false, None);
            let powers = image.square();
            squares = &squares + powers.sum_dim_intlist([1].as_slice(), false, None);
            cells += image.size()[1];
        }
        let mean = sum / cells;
        let variance = squares / cells - mean.square();
        let deviation = (variance.clamp_min(0.0) + LEAST_VARIANCE).sqrt();
        Self {
            mean: mean.to_kind(Kind::Float),
            deviation: deviation.to_kind(Kind::Float),
        }
    }
}

/// A head in training.
#[derive(Debug)]
pub(super) struct TrainedHead {
    kind: HeadKind,
    /// `[C, 1, 1]`. An FCN's features are not shifted: the zeros around them stay zeros.
    mean: Tensor,
    deviation: Tensor,
    hidden: Option<(nn::Conv2D, nn::BatchNorm)>,
    classifier: nn::Conv2D,
}

impl TrainedHead {
    /// Fresh weights in `store`, for features of this spread.
    pub(super) fn new(kind: HeadKind, spread: &Spread, classes: usize, store: &VarStore) -> Self {
        let (root, device) = (store.root(), store.device());
        let channels = spread.mean.size()[0];
        let classes = axis(classes);
        let place = |tensor: &Tensor| tensor.view([channels, 1, 1]).to_device(device);
        let deviation = place(&spread.deviation);
        let classifier = |inputs| {
            nn::conv2d(
                &root / "classifier",
                inputs,
                classes,
                1,
                nn::ConvConfig::default(),
            )
        };
        let (mean, hidden, classifier) = match kind {
            HeadKind::Linear => (place(&spread.mean), None, classifier(channels)),
            HeadKind::Fcn => {
                let settings = nn::ConvConfig {
                    padding: 1,
                    bias: false,
                    ..Default::default()
                };
                let convolution = nn::conv2d(&root / "hidden", channels, HIDDEN, 3, settings);
                let settings = nn::BatchNormConfig {
                    eps: BATCH_NORM_EPSILON,
                    ..Default::default()
                };
                let norm = nn::batch_norm2d(&root / "norm", HIDDEN, settings);
                let none = deviation.zeros_like();
                (none, Some((convolution, norm)), classifier(HIDDEN))
            }
        };
        Self {
            kind,
            mean,
            deviation,
            hidden,
            classifier,
        }
    }

    /// Scores of the classes: `[N, C, h, w]` → `[N, classes, h, w]`.
    pub(super) fn scores(&self, features: &Tensor) -> Tensor {
        let mut x = (features - &self.mean) / &self.deviation;
        if let Some((convolution, norm)) = &self.hidden {
            x = norm.forward_t(&convolution.forward(&x), true).relu();
        }
        self.classifier.forward(&x)
    }

    /// What is served.
    pub(super) fn folded(&self) -> Tensors {
        let [weight, bias] = HeadKind::CLASSIFIER;
        let classifier = (&self.classifier.ws, self.classifier.bs.as_ref());
        let none = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let classifier_bias = classifier.1.unwrap_or(&none);
        no_grad(|| {
            let named = |pairs: &[(&str, &Tensor)]| {
                let pairs = pairs.iter();
                pairs
                    .map(|(name, tensor)| ((*name).to_owned(), to_core(tensor)))
                    .collect()
            };
            match (self.kind, &self.hidden) {
                (HeadKind::Fcn, Some((convolution, norm))) => {
                    let [hidden_weight, hidden_bias] = HeadKind::HIDDEN;
                    let (ws, bs) = folded_norm(convolution, norm);
                    let ws = ws / &self.deviation;
                    named(&[
                        (weight, classifier.0),
                        (bias, classifier_bias),
                        (hidden_weight, &ws),
                        (hidden_bias, &bs),
                    ])
                }
                (HeadKind::Linear | HeadKind::Fcn, _) => {
                    let ws = classifier.0 / &self.deviation;
                    let shift =
                        (&ws * &self.mean).sum_dim_intlist([1, 2, 3].as_slice(), false, None);
                    named(&[(weight, &ws), (bias, &(classifier_bias - shift))])
                }
            }
        })
    }
}

/// A convolution's weight and bias with the batch norm that follows it, by its moving averages.
fn folded_norm(convolution: &nn::Conv2D, norm: &nn::BatchNorm) -> (Tensor, Tensor) {
    let factor = (&norm.running_var + BATCH_NORM_EPSILON).rsqrt();
    let factor = match &norm.ws {
        Some(scale) => factor * scale,
        None => factor,
    };
    let bias = -(&norm.running_mean * &factor);
    let bias = match &norm.bs {
        Some(offset) => bias + offset,
        None => bias,
    };
    (&convolution.ws * factor.view([-1, 1, 1, 1]), bias)
}
