//! `detcon-convert quantize`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use detcon_converter::quantize::{Method, QuantizeOptions, Target, quantize};
use detcon_core::files::Existing;

use super::output::print;
use super::verify::RuntimeArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Model directory.
    model_dir: PathBuf,
    /// Folder of photographs to calibrate int8 on, such as a hundred of those that will be served. A quarter of
    /// them is held out to measure on, unless --held-out gives others.
    #[arg(
        long,
        value_name = "FOLDER",
        required_unless_present = "precision",
        required_if_eq("precision", "int8")
    )]
    calibrate: Option<PathBuf>,
    /// Folder of other photographs to measure the result on.
    #[arg(long, value_name = "FOLDER", required_if_eq("precision", "fp16"))]
    held_out: Option<PathBuf>,
    /// What to make.
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Int8)]
    precision: PrecisionArgument,
    /// How the ranges of int8 are estimated.
    #[arg(long, value_enum, default_value_t = MethodArgument::Mse)]
    method: MethodArgument,
    /// Most photographs that are taken of a folder, evenly spaced over its sorted files.
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
    /// Replace a graph of that precision that is there, once the new one is whole.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

/// Precisions that can be made, as the command line spells them.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionArgument {
    /// 8-bit integers.
    Int8,
    /// 16-bit floats.
    Fp16,
}

/// Estimators of ranges, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum MethodArgument {
    /// Smallest and largest value.
    Minmax,
    /// What 99.99 % of the values lie in.
    Percentile,
    /// Least Kullback-Leibler divergence.
    Entropy,
    /// Least mean squared error.
    Mse,
}

impl From<MethodArgument> for Method {
    fn from(argument: MethodArgument) -> Self {
        match argument {
            MethodArgument::Minmax => Self::MinMax,
            MethodArgument::Percentile => Self::Percentile,
            MethodArgument::Entropy => Self::Entropy,
            MethodArgument::Mse => Self::Mse,
        }
    }
}

impl Arguments {
    fn target(&self) -> anyhow::Result<Target> {
        let (calibrate, held_out) = (self.calibrate.clone(), self.held_out.clone());
        match (self.precision, calibrate, held_out) {
            (PrecisionArgument::Int8, Some(calibrate), held_out) => Ok(Target::Int8 {
                calibrate,
                method: self.method.into(),
                held_out,
            }),
            (PrecisionArgument::Fp16, None, Some(held_out)) => Ok(Target::Fp16 { held_out }),
            (PrecisionArgument::Int8, None, _) => bail!("int8 needs --calibrate FOLDER"),
            (PrecisionArgument::Fp16, ..) => {
                bail!("fp16 is not calibrated: leave --calibrate out and give --held-out FOLDER")
            }
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = QuantizeOptions {
        target: arguments.target()?,
        most: arguments.most as usize,
        existing: if arguments.force {
            Existing::Replace
        } else {
            Existing::Keep
        },
    };
    let place = &arguments.model_dir;
    let quantized = quantize(place, &arguments.runtime.onnxruntime, &options)
        .with_context(|| format!("{} was not quantized", place.display()))?;
    for file in &quantized.set_aside {
        eprintln!(
            "detcon-convert: {} is set aside: {}",
            file.path.display(),
            file.reason
        );
    }
    if let Some(advice) = quantized.too_few() {
        eprintln!("detcon-convert: {advice}");
    }
    print(&format!("{}: {quantized}\n", place.display()))
}
