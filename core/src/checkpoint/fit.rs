//! Fitting a source's tensors to a spec: every parameter filled exactly once, every tensor used exactly once or
//! set aside with a reason. Anything else is an error that names it.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::{Checkpoint, Filled, Ledger, SetAside, Tensor, Tensors, sha256_f32};
use crate::arch::{BATCH_NORM_EPSILON, BatchNormField, Param, ParamKind, ResNetSpec};
use crate::names::{Destination, Transform};

mod error;
mod transform;

pub use error::FitError;
pub(super) use transform::check_shape;
use transform::{apply, check_source_shape};

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

/// What a moving average is before the first batch; nothing for other parameters.
const fn fresh_value(param: &Param) -> Option<f32> {
    match param.kind {
        ParamKind::BatchNorm(BatchNormField::Mean) => Some(0.0),
        ParamKind::BatchNorm(BatchNormField::Variance) => Some(1.0),
        ParamKind::BatchNorm(BatchNormField::Scale | BatchNormField::Offset)
        | ParamKind::Conv(_) => None,
    }
}

/// Tensors taken so far, with the account of each.
#[derive(Default)]
struct Taken {
    tensors: Tensors,
    filled: BTreeMap<String, Filled>,
}

impl Taken {
    /// Fills a moving average that the source does not have.
    fn start_afresh(&mut self, param: &Param) {
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
    fn take_all<A: SourceArray + Send>(
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
    fn check_variances(&self, epsilon: f64) -> Result<(), FitError> {
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
pub(super) fn check_variance(key: &str, tensor: &Tensor, epsilon: f64) -> Result<(), FitError> {
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
struct Source<A> {
    name: String,
    transform: Transform,
    key: String,
    array: A,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::HaikuNames;

    struct Filler(Vec<usize>, f32);

    impl SourceArray for Filler {
        fn shape(&self) -> &[usize] {
            &self.0
        }
        fn to_f32(&self) -> Result<Vec<f32>, String> {
            Ok(vec![self.1; self.0.iter().product()])
        }
    }

    fn tiny() -> (ResNetSpec, Vec<SourceTensor<Filler>>) {
        let spec: ResNetSpec = "tiny".parse().unwrap();
        let names = HaikuNames::new(spec);
        let source = spec.params().into_iter().map(|param| {
            let module = format!("tiny_res_net/~/{}", param.haiku.module);
            SourceTensor {
                key: format!("{module}/{}", param.haiku.name),
                destination: names.destination(&module, param.haiku.name).unwrap(),
                array: Filler(param.haiku_shape(), 1.0),
            }
        });
        (spec, source.collect())
    }

    #[test]
    fn a_whole_source_fills_every_parameter_once() {
        let (spec, source) = tiny();
        let fitted = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap();
        assert_eq!(fitted.ledger.backbone.len(), spec.params().len());
        assert_eq!(
            Checkpoint::new(spec, fitted.checkpoint.tensors().clone()).unwrap(),
            fitted.checkpoint
        );
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let (spec, mut source) = tiny();
        source.remove(0);
        let error = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap_err();
        assert_eq!(
            error,
            FitError::Mismatch {
                spec: Box::new(spec),
                missing: vec!["conv1.weight".to_owned()],
                surplus: Vec::new(),
            }
        );
    }

    #[test]
    fn every_missing_and_every_surplus_tensor_is_named() {
        let (spec, mut source) = tiny();
        source.truncate(source.len() - 20);
        for key in ["extra/a", "extra/b"] {
            source.push(SourceTensor {
                key: key.to_owned(),
                destination: Destination::Nowhere,
                array: Filler(vec![1], 1.0),
            });
        }
        match Checkpoint::fit(spec, source, MovingAverages::Fresh) {
            Err(FitError::Mismatch {
                missing, surplus, ..
            }) => {
                assert_eq!((missing.len(), surplus.len()), (20, 2));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn moving_averages_start_afresh_only_where_all_are_missing_and_only_when_asked() {
        let without = |keep: usize| {
            let (spec, mut source) = tiny();
            let mut kept = 0;
            source.retain(|tensor| {
                let average = tensor.key.ends_with("/average");
                kept += usize::from(average);
                !average || kept <= keep
            });
            (spec, source)
        };
        let (spec, source) = without(0);
        let error = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap_err();
        assert!(matches!(error, FitError::MovingAverages { .. }), "{error}");
        assert!(
            error.to_string().contains("--fresh-moving-averages"),
            "{error}"
        );
        let (spec, source) = without(1);
        let error = Checkpoint::fit(spec, source, MovingAverages::Fresh).unwrap_err();
        assert!(matches!(error, FitError::Mismatch { .. }), "{error}");
        let (spec, source) = without(0);
        let fitted = Checkpoint::fit(spec, source, MovingAverages::Fresh).unwrap();
        let fresh = fitted
            .ledger
            .backbone
            .iter()
            .filter(|row| row.transform == Transform::Fresh);
        assert_eq!(
            fresh.count(),
            spec.params()
                .iter()
                .filter(|p| p.name.contains("running_"))
                .count()
        );
        assert_eq!(
            fitted.checkpoint.get("bn1.running_mean").values(),
            [0.0; 64]
        );
        assert_eq!(fitted.checkpoint.get("bn1.running_var").values(), [1.0; 64]);
    }

    #[test]
    fn a_parameter_given_twice_is_named() {
        let (spec, mut source) = tiny();
        source.extend(tiny().1.into_iter().take(1));
        let error = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap_err();
        assert!(
            matches!(error, FitError::Twice { ref name, .. } if name == "conv1.weight"),
            "{error}"
        );
    }

    #[test]
    fn another_shape_is_named_with_the_one_that_fits() {
        let (spec, mut source) = tiny();
        source[0].array.0 = vec![7, 7, 3, 63];
        let error = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("[7, 7, 3, 63]; conv1.weight needs [7, 7, 3, 64]"),
            "{error}"
        );
    }

    #[test]
    fn a_negative_variance_is_named_and_one_that_epsilon_makes_up_for_is_taken() {
        let with = |value: f32| {
            let (spec, mut source) = tiny();
            let variance =
                |it: &&mut SourceTensor<Filler>| it.key.ends_with("norm_1/var_ema/average");
            let tensor = source
                .iter_mut()
                .find(variance)
                .expect("a tiny network has one");
            tensor.array.1 = value;
            Checkpoint::fit(spec, source, MovingAverages::Required)
        };
        let error = with(-1.0).unwrap_err();
        assert!(
            error.to_string().contains("batchnorm_1/var_ema/average"),
            "{error}"
        );
        assert!(with(-1e-7).is_ok());
        let (spec, source) = tiny();
        let fitted = Checkpoint::fit(spec, source, MovingAverages::Required).unwrap();
        let mut tensors = fitted.checkpoint.tensors().clone();
        tensors.insert(
            "bn1.running_var".to_owned(),
            Tensor::new(vec![64], vec![-0.5; 64]),
        );
        let error = Checkpoint::new(spec, tensors).unwrap_err();
        assert!(error.to_string().starts_with("bn1.running_var"), "{error}");
    }

    #[test]
    fn weights_that_are_no_numbers_are_refused() {
        let (spec, mut source) = tiny();
        source[3].array.1 = f32::NAN;
        assert!(matches!(
            Checkpoint::fit(spec, source, MovingAverages::Required),
            Err(FitError::Values { .. })
        ));
    }
}
