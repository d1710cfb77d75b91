//! What the user says of a network that its tensors do not tell.

use clap::Args;
use detcon_converter::convention::{Architecture, Stated};
use detcon_core::arch::{Normalization, Padding, StrideIn};

/// Parts of a network. Files of this project's own say them; else haiku's files are taken as the published code's networks
/// and PyTorch's as torchvision's.
#[derive(Args)]
pub(crate) struct NetworkArguments {
    /// Architecture that the file must hold: resnet50, resnet101 … Names of look-alikes are refused.
    #[arg(long, value_name = "NAME")]
    arch: Option<Architecture>,
    /// Where the network pads: same (TensorFlow, the published code) or symmetric (PyTorch).
    #[arg(long)]
    padding: Option<Padding>,
    /// How its input is normalised: imagenet, none, caffe, or mean=R,G,B:std=R,G,B:divisor=255:channels=rgb.
    #[arg(long)]
    normalization: Option<Normalization>,
    /// Which convolution of a bottleneck has the stride: 3x3, or 1x1 as in networks that were ported from Caffe.
    #[arg(long)]
    stride_in: Option<StrideIn>,
    /// Pixels of input that a cell of c5 stands for: 32, or 16 or 8 where the last stages are dilated.
    #[arg(long)]
    output_stride: Option<usize>,
    /// What its batch norms add to the variance.
    #[arg(long)]
    epsilon: Option<f64>,
}

impl NetworkArguments {
    pub(crate) const fn stated(&self) -> Stated {
        Stated {
            arch: self.arch,
            padding: self.padding,
            normalization: self.normalization,
            stride_in: self.stride_in,
            output_stride: self.output_stride,
            epsilon: self.epsilon,
        }
    }
}
