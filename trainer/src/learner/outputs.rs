//! What a network makes of one view.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::View;
use crate::distributed::autocast;
use crate::network::{HeadSpec, Mode, Network, Pass, Predictor};

/// What networks compute in. Weights, batch statistics, losses and updates are float32 in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The weights' own.
    Float32,
    /// bfloat16 in convolutions and matrix products, as PyTorch's autocast decides.
    BFloat16,
}

impl Precision {
    fn of<T>(self, compute: impl FnOnce() -> T) -> T {
        match self {
            Self::Float32 => compute(),
            Self::BFloat16 => autocast(compute),
        }
    }
}

/// What teaches the backbone: upstream's `training_mode` (`run_detcon_b_forward_on_view` and `loss_fn` of
/// `detcon_b.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingMode {
    /// The contrast alone: the classifier learns on features that it does not change.
    SelfSupervised,
    /// Labels alone: there is no contrast, and the weights that serve it stay as they are.
    Supervised,
    /// Both.
    Both,
}

/// What a network makes of one view.
pub(super) struct Outputs {
    /// Nothing where there is no contrast.
    pub(super) regions: Option<RegionOutputs>,
    /// `[N, classes]`.
    pub(super) logits: Tensor,
}

/// What a network makes of the regions of one view.
pub(super) struct RegionOutputs {
    /// `[N, R, D]`.
    pub(super) projections: Tensor,
    /// `[N, R, D]`: the projections themselves where there is no predictor.
    pub(super) predictions: Tensor,
}

impl Outputs {
    pub(super) fn of(
        network: &mut Network,
        view: &View,
        mode: TrainingMode,
        precision: Precision,
    ) -> Self {
        let (spec, HeadSpec { predictor, .. }) = (network.spec(), network.heads());
        let mut pass = network.pass(Mode::Train);
        let features = full(precision.of(|| pass.backbone(spec, &view.images)));
        let pooled = match mode {
            TrainingMode::SelfSupervised | TrainingMode::Both => Some(view.regions.pool(&features)),
            TrainingMode::Supervised => None,
        };
        let embeddings = features.mean_dim([2, 3].as_slice(), false, None);
        let embeddings = match mode {
            TrainingMode::SelfSupervised => embeddings.detach(),
            TrainingMode::Supervised | TrainingMode::Both => embeddings,
        };
        precision.of(|| Self {
            regions: pooled.map(|pooled| RegionOutputs::of(&mut pass, &pooled, predictor)),
            logits: full(pass.classify(&embeddings)),
        })
    }
}

impl RegionOutputs {
    fn of(pass: &mut Pass<'_>, pooled: &Tensor, predictor: Predictor) -> Self {
        let projections = pass.project(pooled);
        let predictions = match predictor {
            Predictor::Present => pass.predict(&projections),
            Predictor::Absent => projections.shallow_clone(),
        };
        Self {
            projections: full(projections),
            predictions: full(predictions),
        }
    }
}

/// A half tensor in float32.
fn full(tensor: Tensor) -> Tensor {
    match tensor.kind() {
        Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor,
    }
}
