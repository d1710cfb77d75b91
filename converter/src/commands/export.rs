//! `detcon-convert export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use detcon_converter::export::{Padding, Target, export};
use detcon_core::files::Existing;

use super::failure::refuse;
use super::output::print;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/export.txt"))]
pub(crate) struct Arguments {
    /// Model directory.
    #[arg(name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Software to write for.
    #[arg(long, value_enum)]
    to: TargetArgument,
    /// What to write: a folder for timm, a file otherwise.
    out: PathBuf,
    /// For torchvision: how to keep the padding that the network was trained with.
    #[arg(long, value_enum)]
    padding: Option<PaddingArgument>,
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
}

/// The paddings, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum PaddingArgument {
    /// Kernels as they are: exact at heights and widths that are 1 more than a multiple of 32.
    Symmetric,
    /// Strided kernels grown by zeros, with a loader beside them: exact at multiples of 32.
    ZeroExtended,
}

impl Arguments {
    /// Ends the program as for any wrong usage where a padding is given and the target has none to choose.
    fn target(&self) -> Target {
        let padding = match self.padding {
            None | Some(PaddingArgument::Symmetric) => Padding::Symmetric,
            Some(PaddingArgument::ZeroExtended) => Padding::ZeroExtended,
        };
        let target = match self.to {
            TargetArgument::Torchvision => return Target::Torchvision(padding),
            TargetArgument::Timm => Target::Timm,
            TargetArgument::Detectron2 => Target::Detectron2,
            TargetArgument::Haiku => Target::Haiku,
        };
        if self.padding.is_some() {
            refuse(&format!("--padding is for torchvision, not for {target}"));
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
    for path in export(&arguments.model_dir, target, &arguments.out, existing)? {
        print(&format!("{}: for {target}\n", path.display()))?;
    }
    Ok(())
}
