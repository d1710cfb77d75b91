//! What graphs of lower precision are made from, for every command that makes them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use detcon_converter::quantize::{Method, QuantizeOptions, Quantized, Target};
use detcon_core::files::Existing;

use super::failure::refuse;
use super::output::tell;

/// Precisions that can be made, as the command line spells them.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArgument {
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers.
    Int8,
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

/// Photographs, and what is made of them.
#[derive(Args)]
pub(crate) struct QuantizationArguments {
    /// Folder of photographs to calibrate int8 on, such as a hundred of those that will be served. A quarter of
    /// them is held out to measure on, unless --held-out gives others.
    #[arg(long, value_name = "FOLDER")]
    calibrate: Option<PathBuf>,
    /// Folder of other photographs to measure the result on.
    #[arg(long, value_name = "FOLDER")]
    held_out: Option<PathBuf>,
    /// How the ranges of int8 are estimated.
    #[arg(long, value_enum, default_value_t = MethodArgument::Mse)]
    method: MethodArgument,
    /// Most photographs that are taken of a folder, evenly spaced over its sorted files.
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
}

impl QuantizationArguments {
    /// How to make a precision. Ends the program as for any wrong usage where photographs are wanting.
    pub(crate) fn options(
        &self,
        precision: PrecisionArgument,
        existing: Existing,
    ) -> QuantizeOptions {
        QuantizeOptions {
            target: self.target(precision),
            most: self.most as usize,
            existing,
        }
    }

    fn target(&self, precision: PrecisionArgument) -> Target {
        let (calibrate, held_out) = (self.calibrate.clone(), self.held_out.clone());
        match (precision, calibrate, held_out) {
            (PrecisionArgument::Int8, Some(calibrate), held_out) => Target::Int8 {
                calibrate,
                method: self.method.into(),
                held_out,
            },
            // Nothing is calibrated for fp16, so every photograph is one to measure on.
            (PrecisionArgument::Fp16, _, Some(held_out))
            | (PrecisionArgument::Fp16, Some(held_out), None) => Target::Fp16 { held_out },
            (PrecisionArgument::Int8, None, _) => {
                refuse("int8 needs photographs to calibrate on: give --calibrate FOLDER")
            }
            (PrecisionArgument::Fp16, None, None) => {
                refuse("fp16 needs photographs to measure it on: give --held-out FOLDER")
            }
        }
    }
}

/// Tells on standard error which files were no photographs, and whether there were enough that are.
pub(crate) fn warn(quantized: &Quantized) {
    for file in &quantized.set_aside {
        tell(&format!(
            "{} is set aside: {}",
            file.path.display(),
            file.reason
        ));
    }
    if let Some(advice) = quantized.too_few() {
        tell(&advice);
    }
}
