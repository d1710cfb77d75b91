//! From a source tensor's layout to the parameter's.

use super::FitError;
use crate::arch::{Param, ParamKind};
use crate::checkpoint::Tensor;
use crate::names::Transform;

pub(in crate::checkpoint) fn check_shape(
    key: &str,
    param: &Param,
    found: &[usize],
) -> Result<(), FitError> {
    expect_shape(key, param, found, param.shape.clone())
}

/// The shape a source tensor must have for `transform` to make the parameter of it.
pub(super) fn check_source_shape(
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
pub(super) fn apply(transform: Transform, shape: &[usize], values: Vec<f32>) -> Option<Tensor> {
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
