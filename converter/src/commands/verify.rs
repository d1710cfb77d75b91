//! `detcon-convert verify`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use detcon_converter::verify::verify;

use super::output::print;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/verify.txt"))]
pub(crate) struct Arguments {
    /// Model directory.
    model_dir: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

/// Where ONNX Runtime is.
#[derive(Args)]
pub(crate) struct RuntimeArguments {
    /// ONNX Runtime's shared library.
    #[arg(
        long,
        env = "DETCON_ONNXRUNTIME",
        value_name = "LIBRARY",
        default_value = ".deps/onnxruntime/libonnxruntime.so"
    )]
    pub(crate) onnxruntime: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = verify(&arguments.model_dir, &arguments.runtime.onnxruntime)?;
    print(&if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    })?;
    match report.faults.as_slice() {
        [] => Ok(()),
        [fault] => bail!(
            "{} is wrong at {fault}; convert the checkpoint again",
            report.name
        ),
        [fault, more @ ..] => bail!(
            "{} is wrong at {fault}, and at {} more places; convert the checkpoint again",
            report.name,
            more.len()
        ),
    }
}
