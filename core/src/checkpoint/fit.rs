//! Fitting a source's tensors to a spec: every parameter filled exactly once, every tensor used exactly once or
//! set aside with a reason. Anything else is an error that names it.

use std::collections::{BTreeMap, HashSet};

use super::{Checkpoint, Ledger, SetAside, Tensors};
use crate::arch::{BATCH_NORM_EPSILON, Param, ResNetSpec};
use crate::names::{Destination, Transform};

mod error;
mod taken;
#[cfg(test)]
mod tests;
mod transform;

pub use error::FitError;
pub(super) use taken::check_variance;
use taken::{Source, Taken, fresh_value};
pub(super) use transform::check_shape;
use transform::check_source_shape;

/// An array of a source file, converted only if it is used.
pub trait SourceArray {
    /// Lengths of the axes.
    fn shape(&self) -> &[usize];
    /// The values in C order, or why they are no floating-point numbers.
    fn to_f32(&self) -> Result<Vec<f32>, String>;
}

/// A tensor of the source and where it goes.
#[derive(Debug)]
pub struct SourceTensor<A> {
    /// What the source calls it.
    pub key: String,
    /// Where it goes.
    pub destination: Destination,
    /// The tensor itself.
    pub array: A,
}

/// What becomes of a source that holds no moving averages at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MovingAverages {
    /// It does not fit.
    #[default]
    Required,
    /// They start afresh, at mean 0 and variance 1, and the ledger says so.
    Fresh,
}

/// What a fit gives.
#[derive(Debug)]
pub struct Fitted {
    /// The backbone.
    pub checkpoint: Checkpoint,
    /// Projector, predictor and classifier, where the source has them.
    pub heads: Tensors,
    /// The account of it.
    pub ledger: Ledger,
}

impl Checkpoint {
    /// Fills every parameter of `spec` from `source`.
    pub fn fit<A: SourceArray + Send>(
        spec: ResNetSpec,
        source: Vec<SourceTensor<A>>,
        averages: MovingAverages,
    ) -> Result<Fitted, FitError> {
        let params = spec.params();
        let sorted = sort(&params, source);
        let there: HashSet<&str> = sorted
            .backbone
            .iter()
            .map(|it| it.param.name.as_str())
            .collect();
        let missing: Vec<&Param> = params
            .iter()
            .filter(|param| !there.contains(param.name.as_str()))
            .collect();
        check_complete(spec, &params, &missing, &sorted.surplus, averages)?;
        let (mut backbone, mut heads) = (Taken::default(), Taken::default());
        for param in missing {
            backbone.start_afresh(param);
        }
        for it in &sorted.backbone {
            check_source_shape(&it.key, it.param, it.transform, it.array.shape())?;
        }
        backbone.take_all(sorted.backbone.into_iter().map(|it| Source {
            name: it.param.name.clone(),
            transform: it.transform,
            key: it.key,
            array: it.array,
        }))?;
        heads.take_all(sorted.heads.into_iter())?;
        backbone.check_variances(spec.epsilon())?;
        heads.check_variances(BATCH_NORM_EPSILON)?;
        let filled = params
            .iter()
            .filter_map(|param| backbone.filled.remove(&param.name))
            .collect();
        let ledger = Ledger {
            spec,
            backbone: filled,
            heads: heads.filled.into_values().collect(),
            set_aside: sorted.set_aside,
        };
        Ok(Fitted {
            checkpoint: Self {
                spec,
                tensors: backbone.tensors,
            },
            heads: heads.tensors,
            ledger,
        })
    }
}

/// A source tensor and the parameter that it fills.
struct Filling<'p, A> {
    param: &'p Param,
    transform: Transform,
    key: String,
    array: A,
}

/// Source tensors by what becomes of them.
struct Sorted<'p, A> {
    backbone: Vec<Filling<'p, A>>,
    heads: Vec<Source<A>>,
    set_aside: Vec<SetAside>,
    surplus: Vec<String>,
}

fn sort<A>(params: &[Param], source: Vec<SourceTensor<A>>) -> Sorted<'_, A> {
    let by_name: BTreeMap<&str, &Param> = params
        .iter()
        .map(|param| (param.name.as_str(), param))
        .collect();
    let mut sorted = Sorted {
        backbone: Vec::new(),
        heads: Vec::new(),
        set_aside: Vec::new(),
        surplus: Vec::new(),
    };
    for SourceTensor {
        key,
        destination,
        array,
    } in source
    {
        match destination {
            Destination::Backbone { name, transform } => match by_name.get(name.as_str()) {
                Some(&param) => sorted.backbone.push(Filling {
                    param,
                    transform,
                    key,
                    array,
                }),
                None => sorted.surplus.push(key),
            },
            Destination::Head { name, transform } => {
                sorted.heads.push(Source {
                    name,
                    transform,
                    key,
                    array,
                });
            }
            Destination::SetAside { reason } => sorted.set_aside.push(SetAside {
                source: key,
                reason,
            }),
            Destination::Nowhere => sorted.surplus.push(key),
        }
    }
    sorted
}

fn check_complete(
    spec: ResNetSpec,
    params: &[Param],
    missing: &[&Param],
    surplus: &[String],
    averages: MovingAverages,
) -> Result<(), FitError> {
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let count = params
        .iter()
        .filter(|param| fresh_value(param).is_some())
        .count();
    let only_averages = surplus.is_empty()
        && missing.len() == count
        && missing.iter().all(|param| fresh_value(param).is_some());
    match (only_averages, averages) {
        (true, MovingAverages::Fresh) => Ok(()),
        (true, MovingAverages::Required) => Err(FitError::MovingAverages {
            spec: Box::new(spec),
            count,
        }),
        (false, _) => Err(FitError::Mismatch {
            spec: Box::new(spec),
            missing: missing.iter().map(|param| param.name.clone()).collect(),
            surplus: surplus.to_vec(),
        }),
    }
}
