//! Tensors taken from a source, converted several at a time, with the account of each; and what stands in for moving
//! averages that a source does not have. Values that are no finite numbers, and variances without a root, are refused.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::transform::apply;
use super::{FitError, SourceArray};
use crate::arch::{BatchNormField, Param, ParamKind};
use crate::checkpoint::{Filled, Tensor, Tensors, sha256_f32};
use crate::names::Transform;

/// What a moving average is before the first batch; nothing for other parameters.
pub(super) const fn fresh_value(param: &Param) -> Option<f32> {
    match param.kind {
        ParamKind::BatchNorm(BatchNormField::Mean) => Some(0.0),
        ParamKind::BatchNorm(BatchNormField::Variance) => Some(1.0),
        ParamKind::BatchNorm(BatchNormField::Scale | BatchNormField::Offset)
        | ParamKind::Conv(_) => None,
    }
}

/// Tensors taken so far, with the account of each.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) tensors: Tensors,
    pub(super) filled: BTreeMap<String, Filled>,
}

impl Taken {
    /// Fills a moving average that the source does not have.
    pub(super) fn start_afresh(&mut self, param: &Param) {
        let Some(value) = fresh_value(param) else {
            return;
        };
        let tensor = Tensor::new(param.shape.clone(), vec![value; param.shape[0]]);
        let filled = Filled {
            parameter: param.name.clone(),
            source: format!("none: a fresh moving average of {value}"),
            transform: Transform::Fresh,
            sha256: sha256_f32(tensor.values()),
        };
        self.filled.insert(param.name.clone(), filled);
        self.tensors.insert(param.name.clone(), tensor);
    }

    /// Takes tensors, several at a time.
    pub(super) fn take_all<A: SourceArray + Send>(
        &mut self,
        source: impl Iterator<Item = Source<A>>,
    ) -> Result<(), FitError> {
        let mut named: BTreeMap<String, Source<A>> = BTreeMap::new();
        for it in source {
            let (name, second) = (it.name.clone(), it.key.clone());
            if let Some(first) = named.insert(name.clone(), it) {
                return Err(FitError::Twice {
                    name,
                    first: first.key,
                    second,
                });
            }
        }
        let sources: Vec<_> = named.into_values().collect();
        let taken: Vec<_> = sources
            .into_par_iter()
            .map(Source::take)
            .collect::<Result<_, _>>()?;
        for (filled, tensor) in taken {
            self.tensors.insert(filled.parameter.clone(), tensor);
            self.filled.insert(filled.parameter.clone(), filled);
        }
        Ok(())
    }
}

/// What a batch norm's moving variance is called.
const VARIANCE: &str = ".running_var";

impl Taken {
    /// Refuses variances of which no root can be taken, by the names that the source gives them.
    pub(super) fn check_variances(&self, epsilon: f64) -> Result<(), FitError> {
        let variances = self.tensors.iter();
        for (name, tensor) in variances.filter(|(name, _)| name.ends_with(VARIANCE)) {
            let key = self.filled.get(name).map_or(name, |row| &row.source);
            check_variance(key, tensor, epsilon)?;
        }
        Ok(())
    }
}

/// A variance a little below 0 is what is left of `E[x²] − E[x]²` in float32, and epsilon makes up for it; any other is
/// damage.
pub(in crate::checkpoint) fn check_variance(
    key: &str,
    tensor: &Tensor,
    epsilon: f64,
) -> Result<(), FitError> {
    let mut values = tensor.values().iter().enumerate();
    match values.find(|(_, value)| f64::from(**value) + epsilon <= 0.0) {
        Some((channel, &value)) => Err(FitError::Variance {
            key: key.to_owned(),
            channel,
            value,
            epsilon,
        }),
        None => Ok(()),
    }
}

/// A source tensor and the name that it takes.
pub(super) struct Source<A> {
    pub(super) name: String,
    pub(super) transform: Transform,
    pub(super) key: String,
    pub(super) array: A,
}

impl<A: SourceArray> Source<A> {
    fn take(self) -> Result<(Filled, Tensor), FitError> {
        let Self {
            name,
            transform,
            key,
            array,
        } = self;
        let values = array.to_f32().map_err(|detail| FitError::Values {
            key: key.clone(),
            detail,
        })?;
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let detail = format!("value {place} is {}", values[place]);
            return Err(FitError::Values { key, detail });
        }
        let tensor = apply(transform, array.shape(), values).ok_or_else(|| FitError::Values {
            key: key.clone(),
            detail: format!("shape {:?}", array.shape()),
        })?;
        let filled = Filled {
            parameter: name,
            source: key,
            transform,
            sha256: sha256_f32(tensor.values()),
        };
        Ok((filled, tensor))
    }
}
