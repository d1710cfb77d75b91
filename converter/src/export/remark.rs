//! What whoever loads an export has to know: how the network is built, and where its padding is another.

use detcon_core::arch::{Padding, ResNetSpec, StrideIn};

use super::{Kernels, Target, torchvision};

/// One line each.
pub(super) fn remarks(target: Target, spec: ResNetSpec) -> Vec<String> {
    let built = match target {
        Target::Torchvision(Kernels::AsTheyAre) => Some(format!(
            "load it into {} with fc = torch.nn.Identity(); {}",
            torchvision::constructor(spec),
            pixels(spec)
        )),
        Target::Detectron2 => Some(detectron2(spec)),
        Target::Onnx { .. } => Some(
            "it reads `images`, float32 [1, 3, H, W], red first, 0 to 255: normalization is in the graph".to_owned(),
        ),
        Target::Torchvision(Kernels::ZeroExtended)
        | Target::Timm
        | Target::Transformers
        | Target::Haiku => None,
    };
    let symmetric = match target {
        Target::Torchvision(Kernels::AsTheyAre)
        | Target::Timm
        | Target::Transformers
        | Target::Detectron2 => true,
        Target::Torchvision(Kernels::ZeroExtended) | Target::Haiku | Target::Onnx { .. } => false,
    };
    let padding = (symmetric && spec.padding() == Padding::Same).then(|| {
        format!(
            "the network pads as SAME does and {target} does not: they agree at heights and widths of 1 more than a \
             multiple of {}",
            spec.output_stride()
        )
    });
    built.into_iter().chain(padding).collect()
}

fn pixels(spec: ResNetSpec) -> String {
    let normalization = spec.normalization();
    format!(
        "it reads {} pixels divided by {}, less {:?}, divided by {:?}",
        normalization.channels(),
        normalization.divisor(),
        normalization.mean(),
        normalization.std()
    )
}

/// The keys of Detectron2's `config/defaults.py` that this network needs.
fn detectron2(spec: ResNetSpec) -> String {
    let normalization = spec.normalization().of_pixels_over(1.0);
    let width = 64 * spec.width() * spec.bottleneck_width();
    let striding = match spec.stride_in() {
        StrideIn::Conv1x1 => "True",
        StrideIn::Conv3x3 => "False",
    };
    format!(
        "MODEL.RESNETS: DEPTH {}, STRIDE_IN_1X1 {striding}, WIDTH_PER_GROUP {width}, STEM_OUT_CHANNELS {}, \
         RES2_OUT_CHANNELS {}; INPUT.FORMAT {}; MODEL.PIXEL_MEAN {:?}, PIXEL_STD {:?}",
        spec.depth().name().trim_start_matches("resnet"),
        spec.stem().outputs,
        spec.stage_channels()[0],
        normalization.channels().name().to_uppercase(),
        normalization.mean(),
        normalization.std()
    )
}
