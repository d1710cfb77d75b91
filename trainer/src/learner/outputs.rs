//! What a network makes of one view.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::View;
use crate::distributed::autocast;
use crate::network::{HeadSpec, Mode, Network, Predictor};

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

/// What a network makes of one view.
pub(super) struct Outputs {
    /// `[N, R, D]`.
    pub(super) projections: Tensor,
    /// `[N, R, D]`: the projections themselves where there is no predictor.
    pub(super) predictions: Tensor,
    /// `[N, classes]`.
    pub(super) logits: Tensor,
}

impl Outputs {
    pub(super) fn of(network: &mut Network, view: &View, precision: Precision) -> Self {
        let (spec, HeadSpec { predictor, .. }) = (network.spec(), network.heads());
        let mut pass = network.pass(Mode::Train);
        let features = full(precision.of(|| pass.backbone(spec, &view.images)));
        let pooled = view.regions.pool(&features);
        let embeddings = features.mean_dim([2, 3].as_slice(), false, None);
        precision.of(|| {
            let projections = pass.project(&pooled);
            let predictions = match predictor {
                Predictor::Present => pass.predict(&projections),
                Predictor::Absent => projections.shallow_clone(),
            };
            let logits = pass.classify(&embeddings);
            Self {
                projections: full(projections),
                predictions: full(predictions),
                logits: full(logits),
            }
        })
    }
}

/// A half tensor in float32.
fn full(tensor: Tensor) -> Tensor {
    match tensor.kind() {
        Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor,
    }
}
