//! Networks from checkpoints and back.

use std::collections::{BTreeMap, BTreeSet};

use detcon_core::checkpoint::{self, Checkpoint, Tensors};
use tch::no_grad;

use super::{MovingAverage, Network, NetworkError, Role, Row, table};
use crate::tensor::{axis, from_core, to_core};

impl Network {
    /// Puts the backbone of a checkpoint in place of its own. Its moving averages count as settled.
    pub fn load_backbone(&mut self, checkpoint: &Checkpoint) -> Result<(), NetworkError> {
        if checkpoint.spec() != self.spec {
            return Err(NetworkError::Spec {
                spec: Box::new(self.spec),
                found: Box::new(checkpoint.spec()),
            });
        }
        for param in self.spec.params() {
            self.load(&param.name, checkpoint.get(&param.name));
        }
        Ok(())
    }

    /// Puts `heads` (of `heads.safetensors`) in place of its own: all of the heads it has, and no other.
    pub fn load_heads(&mut self, heads: &Tensors) -> Result<(), NetworkError> {
        let rows = self.heads.rows(self.spec.embedding_size());
        let shapes = rows.into_iter().map(|row| (row.name, row.shape));
        let found = heads.iter().map(|(name, tensor)| {
            let shape = tensor.shape().iter().map(|&length| axis(length));
            (name.clone(), shape.collect())
        });
        self.check_against(shapes.collect(), found.collect())?;
        for (name, tensor) in heads {
            self.load(name, tensor);
        }
        Ok(())
    }

    /// Puts those of `heads` in place of its own that have all of a head's tensors in their shapes; others stay.
    pub(crate) fn load_fitting_heads(&mut self, heads: &Tensors) {
        let rows = self.heads.rows(self.spec.embedding_size());
        let head = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let fits = |row: &Row| {
            let found = heads.get(&row.name);
            found.is_some_and(|tensor| tensor.shape() == row.shape)
        };
        let lacking: BTreeSet<String> = rows
            .iter()
            .filter(|row| !fits(row))
            .map(|row| head(&row.name))
            .collect();
        for row in rows
            .iter()
            .filter(|row| !lacking.contains(&head(&row.name)))
        {
            if let Some(tensor) = heads.get(&row.name) {
                self.load(&row.name, tensor);
            }
        }
    }

    /// The backbone as inference uses it.
    pub fn checkpoint(&self) -> Result<Checkpoint, NetworkError> {
        let params = self.spec.params().into_iter();
        let tensors = params.map(|param| (param.name.clone(), self.stored(&param.name)));
        Ok(Checkpoint::new(self.spec, tensors.collect())?)
    }

    /// The heads as inference uses them, for `heads.safetensors`.
    #[must_use]
    pub fn head_tensors(&self) -> Tensors {
        let rows = self.heads.rows(self.spec.embedding_size()).into_iter();
        rows.map(|row| (row.name.clone(), self.stored(&row.name)))
            .collect()
    }

    /// A tensor of the table, by its name: a weight, or a moving average's value.
    pub(crate) fn stored(&self, name: &str) -> checkpoint::Tensor {
        match (self.weights.get(name), self.averages.get(name)) {
            (Some(weight), _) => to_core(weight),
            (None, Some(average)) => to_core(&average.value(self.decay)),
            (None, None) => panic!("the network has no {name}"),
        }
    }

    /// Replaces a tensor of the table, of the same shape.
    fn load(&mut self, name: &str, tensor: &checkpoint::Tensor) {
        if let Some(weight) = self.weights.get_mut(name) {
            no_grad(|| weight.copy_(&from_core(tensor, weight.device())));
        } else if let Some(average) = self.averages.get_mut(name) {
            let value = from_core(tensor, average.hidden().device());
            *average = MovingAverage::settled(value);
        } else {
            panic!("the network has no {name}");
        }
    }

    /// Refuses anything but exactly the table's tensors.
    pub(super) fn check(&self) -> Result<(), NetworkError> {
        let weights = self.weights.iter();
        let weights = weights.map(|(name, weight)| (name.clone(), weight.size()));
        let averages = self.averages.iter();
        let averages = averages.map(|(name, average)| (name.clone(), average.hidden().size()));
        let (learned, kept): (Vec<_>, Vec<_>) = table(self.spec, &self.heads)
            .into_iter()
            .partition(|row| row.role != Role::Average);
        for (rows, found) in [(learned, weights.collect()), (kept, averages.collect())] {
            let expected = rows.into_iter().map(|row| (row.name, row.shape));
            self.check_against(expected.collect(), found)?;
        }
        Ok(())
    }

    fn check_against(
        &self,
        expected: BTreeMap<String, Vec<usize>>,
        found: BTreeMap<String, Vec<i64>>,
    ) -> Result<(), NetworkError> {
        let [wanted, given]: [BTreeSet<&String>; 2] =
            [expected.keys().collect(), found.keys().collect()];
        if wanted != given {
            let names = |one: &BTreeSet<&String>, other: &BTreeSet<&String>| {
                one.difference(other).map(|&name| name.clone()).collect()
            };
            return Err(NetworkError::Names {
                spec: Box::new(self.spec),
                missing: names(&wanted, &given),
                surplus: names(&given, &wanted),
            });
        }
        for ((name, expected), found) in expected.into_iter().zip(found.into_values()) {
            if !expected
                .iter()
                .map(|&length| axis(length))
                .eq(found.iter().copied())
            {
                return Err(NetworkError::Shape {
                    name,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}
