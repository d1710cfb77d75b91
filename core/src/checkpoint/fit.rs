//! Fitting a source's tensors to a spec: every parameter filled exactly once, every tensor used exactly once or
//! set aside with a reason. Anything else is an error that names it.

use std::collections::BTreeMap;

use super::{Checkpoint, Filled, Ledger, SetAside, Tensor, Tensors};
use crate::arch::{Param, ParamKind, ResNetSpec};
use crate::digest::sha256_f32;
use crate::names::{Destination, Transform};

/// Missing parameters that an error names.
const NAMED: usize = 5;

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

/// Why a source does not fill a spec.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Parameters that no source tensor fills.
    #[error("{count} parameters of the {spec} are missing: {}{}{}", names.join(", "), if *count > names.len() { ", …" } else { "" }, hint(names))]
    Missing {
        /// The network.
        spec: ResNetSpec,
        /// How many.
        count: usize,
        /// The first of them.
        names: Vec<String>,
    },
    /// Two source tensors for the same parameter.
    #[error("{first} and {second} are both {name}")]
    Twice {
        /// The parameter.
        name: String,
        /// The source tensor found first.
        first: String,
        /// The source tensor found after it.
        second: String,
    },
    /// A tensor that the spec has no parameter for.
    #[error("{key} is no parameter of a {spec}")]
    Surplus {
        /// The tensor.
        key: String,
        /// The network.
        spec: ResNetSpec,
    },
    /// A tensor of another shape than the parameter's.
    #[error("{key} has shape {found:?}; {name} needs {expected:?}")]
    Shape {
        /// The source tensor.
        key: String,
        /// The parameter.
        name: String,
        /// The source tensor's shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// A tensor that cannot become float32.
    #[error("{key} cannot be a weight: {detail}")]
    Values {
        /// The source tensor.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl FitError {
    pub(super) fn missing(spec: ResNetSpec, mut names: Vec<String>) -> Self {
        let count = names.len();
        names.truncate(NAMED);
        Self::Missing { spec, count, names }
    }
}

/// Says what a file without moving averages lacks, since all its other names look right.
fn hint(names: &[String]) -> &'static str {
    if names.iter().all(|name| name.contains(".running_")) {
        " (these are the batch norms' moving averages: the file holds the parameters only, and its state is needed too)"
    } else {
        ""
    }
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
    pub fn fit<A: SourceArray>(
        spec: ResNetSpec,
        source: Vec<SourceTensor<A>>,
    ) -> Result<Fitted, FitError> {
        let params = spec.params();
        let by_name: BTreeMap<&str, &Param> = params
            .iter()
            .map(|param| (param.name.as_str(), param))
            .collect();
        let (mut backbone, mut heads, mut set_aside) =
            (Taken::default(), Taken::default(), Vec::new());
        for SourceTensor {
            key,
            destination,
            array,
        } in source
        {
            match destination {
                Destination::Backbone { name, transform } => {
                    let param = by_name
                        .get(name.as_str())
                        .ok_or_else(|| FitError::Surplus {
                            key: key.clone(),
                            spec,
                        })?;
                    check_source_shape(&key, param, transform, array.shape())?;
                    backbone.take(name, key, transform, &array)?;
                }
                Destination::Head { name, transform } => {
                    heads.take(name, key, transform, &array)?;
                }
                Destination::SetAside { reason } => set_aside.push(SetAside {
                    source: key,
                    reason,
                }),
            }
        }
        let missing: Vec<_> = params
            .iter()
            .filter(|param| !backbone.tensors.contains_key(&param.name))
            .map(|p| p.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(FitError::missing(spec, missing));
        }
        let filled = params
            .iter()
            .filter_map(|param| backbone.filled.remove(&param.name))
            .collect();
        let ledger = Ledger {
            spec,
            backbone: filled,
            heads: heads.filled.into_values().collect(),
            set_aside,
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

/// Tensors taken so far, with the account of each.
#[derive(Default)]
struct Taken {
    tensors: Tensors,
    filled: BTreeMap<String, Filled>,
}

impl Taken {
    fn take<A: SourceArray>(
        &mut self,
        name: String,
        key: String,
        transform: Transform,
        array: &A,
    ) -> Result<(), FitError> {
        if let Some(first) = self.filled.get(&name) {
            return Err(FitError::Twice {
                name,
                first: first.source.clone(),
                second: key,
            });
        }
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
        let sha256 = sha256_f32(tensor.values());
        self.filled.insert(
            name.clone(),
            Filled {
                parameter: name.clone(),
                source: key,
                transform,
                sha256,
            },
        );
        self.tensors.insert(name, tensor);
        Ok(())
    }
}

pub(super) fn check_shape(key: &str, param: &Param, found: &[usize]) -> Result<(), FitError> {
    expect_shape(key, param, found, param.shape.clone())
}

/// The shape a source tensor must have for `transform` to make the parameter of it.
fn check_source_shape(
    key: &str,
    param: &Param,
    transform: Transform,
    found: &[usize],
) -> Result<(), FitError> {
    match (transform, param.kind) {
        (Transform::HwioToOihw, ParamKind::Conv(_)) => {
            expect_shape(key, param, found, param.haiku_shape())
        }
        (Transform::DropLeadingOnes, ParamKind::BatchNorm(_)) => {
            let leading = found
                .iter()
                .take_while(|&&axis| axis == 1)
                .count()
                .min(found.len().saturating_sub(1));
            if found[leading..] == param.shape {
                Ok(())
            } else {
                expect_shape(key, param, found, param.haiku_shape())
            }
        }
        _ => check_shape(key, param, found),
    }
}

fn expect_shape(
    key: &str,
    param: &Param,
    found: &[usize],
    expected: Vec<usize>,
) -> Result<(), FitError> {
    if found == expected {
        return Ok(());
    }
    Err(FitError::Shape {
        key: key.to_owned(),
        name: param.name.clone(),
        found: found.to_vec(),
        expected,
    })
}

/// None where the transform does not apply to the shape.
fn apply(transform: Transform, shape: &[usize], values: Vec<f32>) -> Option<Tensor> {
    match (transform, shape) {
        (Transform::Identity, _) => Some(Tensor::new(shape.to_vec(), values)),
        (Transform::DropLeadingOnes, [ones @ .., last]) if ones.iter().all(|&axis| axis == 1) => {
            Some(Tensor::new(vec![*last], values))
        }
        (Transform::Transpose, &[inputs, outputs]) => Some(Tensor::new(
            vec![outputs, inputs],
            transpose(&values, inputs, outputs),
        )),
        (Transform::HwioToOihw, &[height, width, inputs, outputs]) => {
            // [H·W, I, O] → [O, I, H·W] is a transpose of the whole, then one of each output's matrix.
            let area = height * width;
            let by_output = transpose(&values, area * inputs, outputs);
            let kernels = by_output
                .chunks(area * inputs)
                .flat_map(|kernel| transpose(kernel, area, inputs))
                .collect();
            Some(Tensor::new(vec![outputs, inputs, height, width], kernels))
        }
        _ => None,
    }
}

fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
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
        let fitted = Checkpoint::fit(spec, source).unwrap();
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
        let error = Checkpoint::fit(spec, source).unwrap_err();
        assert_eq!(
            error,
            FitError::Missing {
                spec,
                count: 1,
                names: vec!["conv1.weight".to_owned()]
            }
        );
    }

    #[test]
    fn a_parameter_given_twice_is_named() {
        let (spec, mut source) = tiny();
        source.extend(tiny().1.into_iter().take(1));
        let error = Checkpoint::fit(spec, source).unwrap_err();
        assert!(
            matches!(error, FitError::Twice { ref name, .. } if name == "conv1.weight"),
            "{error}"
        );
    }

    #[test]
    fn another_shape_is_named_with_the_one_that_fits() {
        let (spec, mut source) = tiny();
        source[0].array.0 = vec![7, 7, 3, 63];
        let error = Checkpoint::fit(spec, source).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("[7, 7, 3, 63]; conv1.weight needs [7, 7, 3, 64]"),
            "{error}"
        );
    }

    #[test]
    fn weights_that_are_no_numbers_are_refused() {
        let (spec, mut source) = tiny();
        source[3].array.1 = f32::NAN;
        assert!(matches!(
            Checkpoint::fit(spec, source),
            Err(FitError::Values { .. })
        ));
    }

    #[test]
    fn kernels_are_brought_to_torchvisions_order() {
        let shape = [2, 3, 4, 5];
        let values: Vec<f32> = (0..120_u8).map(f32::from).collect();
        let tensor = apply(Transform::HwioToOihw, &shape, values.clone()).unwrap();
        assert_eq!(tensor.shape(), [5, 4, 2, 3]);
        for (h, w, i, o) in [(0, 0, 0, 0), (1, 2, 3, 4), (1, 0, 2, 3), (0, 2, 1, 1)] {
            let hwio = values[((h * 3 + w) * 4 + i) * 5 + o];
            let oihw = tensor.values()[((o * 4 + i) * 2 + h) * 3 + w];
            assert!((hwio - oihw).abs() < f32::EPSILON);
        }
    }
}
