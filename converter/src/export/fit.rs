//! What a target cannot hold, and what is brought into a form that it can: nothing is dropped or approximated.

use detcon_core::arch::{
    BATCH_NORM_EPSILON, BatchNormField, ChannelOrder, Depth, FirstShortcut, Padding, ParamKind,
    ResNetSpec, StrideIn, Version,
};
use detcon_core::checkpoint::{Checkpoint, Tensor, Tensors};

use super::{Kernels, Target};
use crate::timm;

/// Largest error of a variance that an epsilon was taken into, as a share of what the root is taken of.
const EXACT: f64 = 1e-6;

const NO_PRE_ACTIVATION: &str = "it has no pre-activation ResNets of this kind";
const NO_PROJECTION: &str =
    "its first shortcut is the identity, and this network's is a projection (layer1.0.downsample)";
const NO_DILATION: &str = "it does not dilate as this network does";
const NO_STRIDE_IN_1X1: &str = "its bottlenecks stride in the 3x3";
const WIDE_INSIDE_ONLY: &str = "its wide ResNets widen the inner convolutions only";
const NO_SUCH_NETWORK: &str = "it has no such network";

/// What the target lacks for `spec`, if it lacks anything. Padding aside, for which most have no choice.
pub(super) fn lack(target: Target, spec: ResNetSpec) -> Option<&'static str> {
    match target {
        Target::Onnx { .. } => None,
        Target::Timm => timm::architecture(spec).err(),
        Target::Haiku => haiku(spec),
        Target::Torchvision(kernels) => torchvision(spec, kernels),
        Target::Detectron2 => detectron2(spec),
        Target::Transformers => transformers(spec),
    }
}

fn haiku(spec: ResNetSpec) -> Option<&'static str> {
    // Of the rest, normalisation is not part of its networks, and epsilons are taken into the variances.
    let held = spec
        .published()
        .with_normalization(spec.normalization())
        .with_epsilon(spec.epsilon());
    (held != Ok(spec)).then_some(
        "the published code's networks pad as SAME does, project every first shortcut, have plain bottlenecks that \
         stride in the 3x3, and do not dilate",
    )
}

/// What is so of every software with torchvision's basic blocks.
fn basic(spec: ResNetSpec) -> Option<&'static str> {
    let projects = spec.first_shortcut() == FirstShortcut::Projection;
    if spec.version() == Version::V2 {
        Some(NO_PRE_ACTIVATION)
    } else if spec.depth() != Depth::Tiny && !spec.depth().bottleneck() && projects {
        Some(NO_PROJECTION)
    } else {
        None
    }
}

/// Source: `ResNet._make_layer`, `BasicBlock` and `Bottleneck` of torchvision's `models/resnet.py`.
fn torchvision(spec: ResNetSpec, kernels: Kernels) -> Option<&'static str> {
    let dilated = spec.output_stride() != spec.published().output_stride();
    if let Some(reason) = basic(spec) {
        Some(reason)
    } else if spec.depth() == Depth::Tiny {
        Some(NO_SUCH_NETWORK)
    } else if spec.width() > 1 {
        Some(WIDE_INSIDE_ONLY)
    } else if spec.stride_in() == StrideIn::Conv1x1 {
        Some(NO_STRIDE_IN_1X1)
    } else if dilated && !spec.depth().bottleneck() {
        Some("its basic blocks do not dilate")
    } else {
        match (kernels, spec.padding()) {
            (Kernels::ZeroExtended, Padding::Symmetric) => {
                Some("the network pads as torch does already: leave out --padding zero-extended")
            }
            (Kernels::ZeroExtended, Padding::Same) if dilated => Some(NO_DILATION),
            (Kernels::AsTheyAre, _) | (Kernels::ZeroExtended, Padding::Same) => None,
        }
    }
}

/// Source: `build_resnet_backbone`, `BasicBlock` and `BottleneckBlock` of Detectron2's `modeling/backbone/resnet.py`:
/// with `RES5_DILATION` even the first block of res5 dilates.
fn detectron2(spec: ResNetSpec) -> Option<&'static str> {
    if let Some(reason) = basic(spec) {
        Some(reason)
    } else if spec.depth() == Depth::Tiny || (!spec.depth().bottleneck() && spec.width() > 1) {
        Some(NO_SUCH_NETWORK)
    } else if spec.output_stride() != spec.published().output_stride() {
        Some(NO_DILATION)
    } else {
        None
    }
}

/// Source: `ResNetBasicLayer` and `ResNetBottleNeckLayer` of transformers' `models/resnet/modeling_resnet.py`.
fn transformers(spec: ResNetSpec) -> Option<&'static str> {
    if let Some(reason) = basic(spec) {
        Some(reason)
    } else if spec.output_stride() != spec.published().output_stride() {
        Some(NO_DILATION)
    } else if spec.bottleneck_width() > 1 {
        Some("its bottlenecks have a quarter of the block's channels")
    } else {
        None
    }
}

/// The same network in a form that the target holds, or why there is none.
pub(super) fn adapted(target: Target, checkpoint: Checkpoint) -> Result<Checkpoint, &'static str> {
    match target {
        Target::Onnx { .. } => Ok(checkpoint),
        Target::Torchvision(_) | Target::Detectron2 | Target::Haiku => with_epsilon(checkpoint),
        // Their configurations normalise images in red, green, blue.
        Target::Timm | Target::Transformers => with_epsilon(in_rgb(checkpoint)),
    }
}

/// The same with the usual epsilon: what it differs by is taken into the variances.
fn with_epsilon(checkpoint: Checkpoint) -> Result<Checkpoint, &'static str> {
    const UNFIT: &str =
        "its batch norms' epsilon is 1e-5, and this network's cannot be taken into their variances";
    let spec = checkpoint.spec();
    if spec.epsilon().to_bits() == BATCH_NORM_EPSILON.to_bits() {
        return Ok(checkpoint);
    }
    let usual = spec.with_epsilon(BATCH_NORM_EPSILON).map_err(|_| UNFIT)?;
    let mut tensors = checkpoint.tensors().clone();
    for param in spec.params() {
        if param.kind != ParamKind::BatchNorm(BatchNormField::Variance) {
            continue;
        }
        let values = checkpoint.get(&param.name).values().iter();
        let moved: Option<Vec<f32>> = values.map(|&value| moved(value, spec.epsilon())).collect();
        let tensor = Tensor::new(param.shape, moved.ok_or(UNFIT)?);
        tensors.insert(param.name, tensor);
    }
    Checkpoint::new(usual, tensors).map_err(|_| UNFIT)
}

/// A variance that with the usual epsilon is what `variance` is with `epsilon`.
fn moved(variance: f32, epsilon: f64) -> Option<f32> {
    let sum = f64::from(variance) + epsilon;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are float32, and what that costs is checked"
    )]
    let moved = (sum - BATCH_NORM_EPSILON) as f32;
    let found = f64::from(moved) + BATCH_NORM_EPSILON;
    ((found - sum).abs() <= EXACT * sum).then_some(moved)
}

/// The same for pixels that are red first: the stem's inputs change places.
fn in_rgb(checkpoint: Checkpoint) -> Checkpoint {
    let spec = checkpoint.spec();
    if spec.normalization().channels() == ChannelOrder::Rgb {
        return checkpoint;
    }
    let stem = checkpoint.get("conv1.weight");
    let area: usize = stem.shape()[2..].iter().product();
    let kernels = stem.values().chunks_exact(3 * area);
    let reversed = kernels.flat_map(|kernel| kernel.chunks_exact(area).rev().flatten());
    let reversed = Tensor::new(stem.shape().to_vec(), reversed.copied().collect());
    let mut tensors: Tensors = checkpoint.tensors().clone();
    tensors.insert("conv1.weight".to_owned(), reversed);
    let spec = spec.with_normalization(spec.normalization().in_rgb());
    Checkpoint::new(spec, tensors).expect("the same parameters fill the same network")
}

#[cfg(test)]
mod tests {
    use detcon_core::reference::forward;

    use super::*;
    use crate::demo::untrained;

    fn embedding(checkpoint: &Checkpoint) -> Vec<f32> {
        let shape = [1, 40, 48, 3];
        let images: Vec<u8> = (0..shape.iter().product())
            .map(|i: usize| u8::try_from(i * 37 % 251).unwrap())
            .collect();
        forward(checkpoint, &images, shape).embedding.into_values()
    }

    #[test]
    fn what_is_adapted_computes_the_same() {
        for name in ["tiny+symmetric+caffe+eps=0.001", "tiny+eps=0.000002"] {
            let checkpoint = untrained(name.parse().unwrap(), 0);
            let expected = embedding(&checkpoint);
            let adapted = adapted(Target::Transformers, checkpoint).unwrap();
            assert!(
                !adapted.spec().to_string().contains("eps"),
                "{}",
                adapted.spec()
            );
            let largest = expected.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
            for (found, expected) in embedding(&adapted).iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-5 * largest, "{name}");
            }
        }
    }

    #[test]
    fn an_epsilon_that_no_variance_can_take_is_refused() {
        assert_eq!(moved(0.0, 1e-12), None);
        assert!(moved(1.0, 1e-12).is_some());
    }
}
