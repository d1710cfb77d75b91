//! `detcon-convert quantize`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use detcon_converter::quantize::quantize;
use detcon_core::files::Existing;

use super::output::print;
use super::quantization::{PrecisionArgument, QuantizationArguments, warn};
use super::verify::RuntimeArguments;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/quantize.txt"))]
pub(crate) struct Arguments {
    /// Model directory.
    model_dir: PathBuf,
    /// What to make.
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Int8)]
    precision: PrecisionArgument,
    #[command(flatten)]
    quantization: QuantizationArguments,
    /// Replace a graph of that precision that is there, once the new one is whole.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let existing = if arguments.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let options = arguments
        .quantization
        .options(arguments.precision, existing);
    let place = &arguments.model_dir;
    let quantized = quantize(place, &arguments.runtime.onnxruntime, &options)
        .with_context(|| format!("{} was not quantized", place.display()))?;
    warn(&quantized);
    print(&format!("{}: {quantized}\n", place.display()))
}
