//! The network that is trained: a backbone of the parameter table with the heads of the objective, in libtorch.
//!
//! [`Network::new`] draws fresh weights, [`Network::from_parts`] takes given ones and refuses any that are not exactly
//! the [`table`]'s; [`Pass`] is what computes with it. Names are the checkpoint's own everywhere.
//!
//! Source: `ResNetTorso`, `TinyResNet` and `MLP` of the published `utils/networks.py`, on dm-haiku 0.0.11.

use std::collections::BTreeMap;
use std::sync::Arc;

use detcon_core::arch::ResNetSpec;
use tch::{Device, Tensor};

use crate::distributed::Group;
use crate::tensor::from_core;

mod average;
mod backbone;
mod convert;
mod error;
mod heads;
mod init;
mod layers;
mod table;
mod update;

pub use self::average::MovingAverage;
pub use self::error::NetworkError;
pub(crate) use self::heads::serves_contrast;
pub use self::heads::{HeadSpec, Predictor};
pub use self::layers::{Mode, Pass};
pub use self::table::{Role, Row, table};

/// Weights by name.
pub type Weights = BTreeMap<String, Tensor>;
/// Moving averages by name: `bn1.running_mean`.
pub type Averages = BTreeMap<String, MovingAverage>;

/// Share of the old value in each update of the batch norms' moving averages (upstream's `bn_config`).
pub const BATCH_NORM_DECAY: f64 = 0.9;

/// A backbone, its heads, and the moving averages of their batch norms.
#[derive(Debug)]
pub struct Network {
    spec: ResNetSpec,
    heads: HeadSpec,
    decay: f64,
    weights: Weights,
    averages: Averages,
    group: Option<Arc<Group>>,
}

impl Network {
    /// A network with haiku's initial weights, the same for the same `seed`, and moving averages that have seen nothing.
    #[must_use]
    pub fn new(spec: ResNetSpec, heads: HeadSpec, seed: u64, device: Device) -> Self {
        let (mut weights, mut averages) = (Weights::new(), Averages::new());
        for row in table(spec, &heads) {
            match init::weight(&row, seed) {
                Some(values) => {
                    weights.insert(row.name, from_core(&values, device));
                }
                None => {
                    averages.insert(row.name, MovingAverage::new(&row.shape, device));
                }
            }
        }
        Self {
            spec,
            heads,
            decay: BATCH_NORM_DECAY,
            weights,
            averages,
            group: None,
        }
    }

    /// A network of given weights and moving averages, exactly those of the [`table`].
    pub fn from_parts(
        spec: ResNetSpec,
        heads: HeadSpec,
        weights: Weights,
        averages: Averages,
    ) -> Result<Self, NetworkError> {
        let network = Self {
            spec,
            heads,
            decay: BATCH_NORM_DECAY,
            weights,
            averages,
            group: None,
        };
        network.check()?;
        Ok(network)
    }

    /// Sets the share of the old value in each update of the moving averages.
    #[must_use]
    pub fn with_decay(mut self, decay: f64) -> Self {
        self.decay = decay;
        self
    }

    /// The group whose ranks' batches it normalises by.
    pub(crate) fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// Normalises by the batches of all ranks of a group.
    #[must_use]
    pub fn among(mut self, group: Option<Arc<Group>>) -> Self {
        self.group = group;
        self
    }

    /// The share of the old value in each update of the moving averages.
    #[must_use]
    pub const fn decay(&self) -> f64 {
        self.decay
    }

    /// A network of its own with the same values.
    #[must_use]
    pub fn copy(&self) -> Self {
        let averages = self.averages.iter();
        Self {
            spec: self.spec,
            heads: self.heads,
            decay: self.decay,
            weights: (self.weights.iter())
                .map(|(name, weight)| (name.clone(), weight.detach().copy()))
                .collect(),
            averages: averages
                .map(|(name, average)| (name.clone(), average.copy()))
                .collect(),
            group: self.group.clone(),
        }
    }

    /// The backbone.
    #[must_use]
    pub const fn spec(&self) -> ResNetSpec {
        self.spec
    }

    /// The heads.
    #[must_use]
    pub const fn heads(&self) -> HeadSpec {
        self.heads
    }

    /// What is learned: every weight by name, in torchvision's layout.
    #[must_use]
    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The moving averages by name.
    #[must_use]
    pub const fn averages(&self) -> &Averages {
        &self.averages
    }

    /// Makes losses differentiable with regard to the weights.
    #[must_use]
    pub fn differentiable(mut self) -> Self {
        for weight in self.weights.values_mut() {
            let _ = weight.requires_grad_(true);
        }
        self
    }

    /// A pass of a batch through it. In [`Mode::Train`] each batch norm moves its averages each time it is passed.
    pub fn pass(&mut self, mode: Mode) -> Pass<'_> {
        Pass::new(
            self.spec,
            (&self.weights, &mut self.averages),
            self.decay,
            self.group.as_deref(),
            mode,
        )
    }

    /// c5 of `images`: float32 `[N, 3, H, W]`, RGB in [0, 1] → `[N, C, h, w]`.
    pub fn features(&mut self, images: &Tensor, mode: Mode) -> Tensor {
        let spec = self.spec;
        self.pass(mode).backbone(spec, images)
    }
}
