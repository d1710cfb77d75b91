//! `detcon-convert`: published checkpoints in, model directories out.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use detcon_converter::progress::working;

use commands::{demo, ensure, export, failure, import, inspect, list, quantize, verify};

/// Turns DetCon checkpoints as they were published (NumPy pickles) into model directories that detcon-server
/// serves: safetensors, ONNX, and a check that proves them. Nothing in a checkpoint is ever executed.
#[derive(Parser)]
#[command(name = "detcon-convert", version, max_term_width = 100, after_long_help = include_str!("help/program.txt"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Converts a checkpoint into a model directory.
    Import(Box<import::Arguments>),
    /// Shows what is in a checkpoint without converting it: layout, network, tensors, every pickle global.
    Inspect(inspect::Arguments),
    /// Lists the published checkpoints.
    List(list::Arguments),
    /// Checks a model directory: digests, ledger, and the graph against the weights. Names the layer at fault.
    Verify(verify::Arguments),
    /// Writes a model's weights for torchvision, timm, transformers, Detectron2, haiku or other engines (ONNX).
    Export(export::Arguments),
    /// Makes an untrained model to try things with.
    Demo(demo::Arguments),
    /// Makes sure that there is a model: imports a checkpoint, or makes an untrained one where it cannot be
    /// reached. A trained model is left as it is.
    Ensure(ensure::Arguments),
    /// Adds a graph of lower precision to a model, with what it loses measured on photographs.
    Quantize(quantize::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| failure::usage(&error));
    match run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detcon-convert: {}", failure::line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    let _shown = working(command.doing());
    match command {
        Command::Import(arguments) => import::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Ensure(arguments) => ensure::run(arguments),
        Command::Quantize(arguments) => quantize::run(arguments),
    }
}

impl Command {
    /// What is going on meanwhile.
    const fn doing(&self) -> &'static str {
        match self {
            Self::Import(_) => "importing",
            Self::Inspect(_) => "inspecting",
            Self::List(_) => "listing",
            Self::Verify(_) => "verifying",
            Self::Export(_) => "exporting",
            Self::Demo(_) => "making an untrained model",
            Self::Ensure(_) => "making sure of the model",
            Self::Quantize(_) => "quantizing",
        }
    }
}
