//! From a source tensor's layout to the parameter's.

use super::FitError;
use crate::arch::{Param, ParamKind};
use crate::checkpoint::Tensor;
use crate::names::Transform;

/// Side of the blocks that kernels are reordered in.
const BLOCK: usize = 32;

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
            let kernels = oihw(&values, height * width, inputs, outputs);
            Some(Tensor::new(vec![outputs, inputs, height, width], kernels))
        }
        _ => None,
    }
}

/// `[inputs, outputs]` → `[outputs, inputs]`: a kernel of area 1.
fn transpose(values: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    oihw(values, 1, inputs, outputs)
}

/// `[area, inputs, outputs]` → `[outputs, inputs, area]`, in blocks that stay in a core's cache on both sides.
fn oihw(values: &[f32], area: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let mut kernels = vec![0.0; values.len()];
    let starts = |axis: usize| (0..axis).step_by(BLOCK);
    for (input, output) in starts(inputs).flat_map(|i| starts(outputs).map(move |o| (i, o))) {
        let last = outputs.min(output + BLOCK);
        for (place, i) in
            (0..area).flat_map(|p| (input..inputs.min(input + BLOCK)).map(move |i| (p, i)))
        {
            let row = &values[(place * inputs + i) * outputs..][output..last];
            for (o, &value) in (output..last).zip(row) {
                kernels[(o * inputs + i) * area + place] = value;
            }
        }
    }
    kernels
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
