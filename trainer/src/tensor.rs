//! Tensors as libtorch has them and as the core keeps them.

use detcon_core::checkpoint;
use tch::{Device, Kind, Tensor, no_grad};

/// The length of an axis as libtorch counts.
///
/// # Panics
/// Where no tensor is that long.
pub(crate) fn axis(length: usize) -> i64 {
    i64::try_from(length).expect("an axis of a tensor has fewer than 2^63 places")
}

/// A core tensor on a device.
pub fn from_core(tensor: &checkpoint::Tensor, device: Device) -> Tensor {
    let shape: Vec<i64> = tensor.shape().iter().map(|&length| axis(length)).collect();
    Tensor::from_slice(tensor.values())
        .reshape(shape)
        .to_device(device)
}

/// A tensor as the core keeps it: float32, in C order.
///
/// # Panics
/// Where the device's memory cannot be read.
#[must_use]
pub fn to_core(tensor: &Tensor) -> checkpoint::Tensor {
    let shape = tensor.size().into_iter();
    let shape = shape.map(|length| usize::try_from(length).expect("axes have lengths"));
    let flat = no_grad(|| {
        tensor
            .detach()
            .to_kind(Kind::Float)
            .to_device(Device::Cpu)
            .reshape([-1])
    });
    let values = Vec::<f32>::try_from(&flat).expect("a tensor on the CPU can be read");
    checkpoint::Tensor::new(shape.collect(), values)
}
