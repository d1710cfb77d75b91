//! What fits a network, and what does not.

use super::*;
use crate::checkpoint::Tensor;
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
        let variance = |it: &&mut SourceTensor<Filler>| it.key.ends_with("norm_1/var_ema/average");
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
