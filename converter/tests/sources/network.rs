//! The tiny network, by torchvision's names.

use detcon_core::arch::{ParamKind, ResNetSpec};

/// A tensor of floats.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Tensor {
    pub(crate) fn of(shape: &[usize], seed: usize) -> Self {
        let count: usize = shape.iter().product();
        // Between -1/8 and 1/8, and never the same for two seeds.
        let value = |index: usize| {
            let hashed = (index + 1)
                .wrapping_mul(2_654_435_761)
                .wrapping_add(seed * 40_503)
                >> 7;
            f32::from(u8::try_from(hashed % 251).unwrap()) / 1000.0 - 0.125
        };
        Self {
            shape: shape.to_vec(),
            values: (0..count).map(value).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|it| it.to_le_bytes()).collect()
    }
}

/// Every parameter of a tiny network, and the counters that PyTorch keeps beside its norms.
pub(crate) fn tiny(seed: usize) -> Vec<(String, Tensor)> {
    let spec: ResNetSpec = "tiny".parse().unwrap();
    let mut all = Vec::new();
    for (number, param) in spec.params().into_iter().enumerate() {
        let mut tensor = Tensor::of(&param.shape, 1000 * seed + number);
        if let ParamKind::BatchNorm(_) = param.kind
            && param.name.ends_with("running_var")
        {
            tensor.values.iter_mut().for_each(|value| *value += 1.0);
        }
        all.push((param.name, tensor));
    }
    all
}
