//! `detcon-convert export`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use detcon_converter::export::{Kernels, Target, export};
use detcon_core::files::Existing;

use super::failure::refuse;
use super::output::{print, tell};

/// Smallest and largest side of a graph of a fixed size.
const SIDES: std::ops::RangeInclusive<usize> = 32..=4096;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/export.txt"))]
pub(crate) struct Arguments {
    /// Model directory.
    #[arg(name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Software to write for.
    #[arg(long, value_enum)]
    to: TargetArgument,
    /// What to write: a folder for timm and transformers, a file otherwise.
    out: PathBuf,
    /// For torchvision: how to keep the padding of a network that pads as SAME does.
    #[arg(long, value_enum)]
    padding: Option<PaddingArgument>,
    /// For onnx: side of the square image, or height and width, such as 480x640.
    #[arg(long)]
    size: Option<Size>,
    /// Replace what is there, once the new one is whole.
    #[arg(long)]
    force: bool,
}

/// The targets, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum TargetArgument {
    /// A state dict of torchvision's ResNet, as safetensors.
    Torchvision,
    /// A folder that timm and the Hugging Face Hub read.
    Timm,
    /// A .pkl of Detectron2's ResNet backbone.
    Detectron2,
    /// A .npy in the layout of the published checkpoints.
    Haiku,
    /// A folder that Hugging Face's transformers read.
    Transformers,
    /// An ONNX file of one image of --size, for OpenCV, OpenVINO, TensorRT and phones.
    Onnx,
}

/// The paddings, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum PaddingArgument {
    /// Kernels as they are: exact at heights and widths that are 1 more than a multiple of 32.
    Symmetric,
    /// Strided kernels grown by zeros, with a loader beside them: exact at multiples of 32.
    ZeroExtended,
}

/// Height and width of an image.
#[derive(Clone, Copy)]
struct Size([usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        let side = |digits: &str| digits.parse().ok().filter(|side| SIDES.contains(side));
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Ok(Self([height, width])),
            _ => Err(format!(
                "give a side of {} to {}, or HEIGHTxWIDTH",
                SIDES.start(),
                SIDES.end()
            )),
        }
    }
}

impl Arguments {
    /// Ends the program as for any wrong usage where an option is given that the target has no use for, or one is missing.
    fn target(&self) -> Target {
        let kernels = match self.padding {
            None | Some(PaddingArgument::Symmetric) => Kernels::AsTheyAre,
            Some(PaddingArgument::ZeroExtended) => Kernels::ZeroExtended,
        };
        let target = match (self.to, self.size) {
            (TargetArgument::Torchvision, _) => Target::Torchvision(kernels),
            (TargetArgument::Timm, _) => Target::Timm,
            (TargetArgument::Detectron2, _) => Target::Detectron2,
            (TargetArgument::Haiku, _) => Target::Haiku,
            (TargetArgument::Transformers, _) => Target::Transformers,
            (TargetArgument::Onnx, Some(Size(size))) => Target::Onnx { size },
            (TargetArgument::Onnx, None) => refuse(
                "--to onnx needs a --size, such as 224 or 480x640 (model.onnx in the model directory takes any)",
            ),
        };
        if self.padding.is_some() && !matches!(target, Target::Torchvision(_)) {
            refuse(&format!("--padding is for torchvision, not for {target}"));
        }
        if self.size.is_some() && !matches!(target, Target::Onnx { .. }) {
            refuse(&format!("--size is for onnx, not for {target}"));
        }
        target
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let existing = if arguments.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let target = arguments.target();
    let exported = export(&arguments.model_dir, target, &arguments.out, existing)?;
    for path in exported.paths {
        print(&format!("{}: for {target}\n", path.display()))?;
    }
    exported.remarks.iter().for_each(|remark| tell(remark));
    Ok(())
}
