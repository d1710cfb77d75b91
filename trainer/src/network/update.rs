//! How weights change: by an optimizer, or by following another network.

use tch::{Kind, Tensor, no_grad};

use super::{MovingAverage, Network, table};
use crate::distributed::lerp;

impl Network {
    /// The same network in another precision, in which it then computes.
    #[must_use]
    pub fn to_kind(mut self, kind: Kind) -> Self {
        for weight in self.weights.values_mut() {
            *weight = weight.detach().to_kind(kind);
        }
        for average in self.averages.values_mut() {
            *average = MovingAverage::resumed(average.hidden().to_kind(kind), average.updates());
        }
        self
    }

    /// Hands each weight to `change`, with its name and whether it is regularised.
    pub(crate) fn update(&mut self, mut change: impl FnMut(&str, &mut Tensor, bool)) {
        for row in table(self.spec, &self.heads) {
            if let Some(weight) = self.weights.get_mut(&row.name) {
                change(&row.name, weight, row.role.regularised());
            }
        }
    }

    /// Moves each weight towards `leader`'s, keeping a share `decay` of itself. Moving averages are its own.
    pub(crate) fn follow(&mut self, leader: &Self, decay: f64) {
        let ends: Vec<Tensor> = leader.weights.values().map(Tensor::detach).collect();
        let weights: Vec<&Tensor> = self.weights.values().collect();
        no_grad(|| lerp(&weights, &ends.iter().collect::<Vec<_>>(), 1.0 - decay));
    }
}
