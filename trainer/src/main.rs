//! `detcon-train`: data sets for pretraining, and pretraining.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(feature = "torch")]
use commands::{export, finetune, pretrain, probe, sanity};
use commands::{masks, objects, report};

/// Pretrains with DetCon, and makes what it trains on: TFRecord shards of images with their segments.
#[derive(Parser)]
#[command(name = "detcon-train", version, max_term_width = 100, after_long_help = include_str!("help/program.txt"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Turns images into TFRecord shards with masks, which upstream's reader takes too: Felzenszwalb's by default.
    Masks(masks::Arguments),
    /// Draws a data set to try training on: textured shapes with their masks.
    Objects(objects::Arguments),
    /// Draws a run's curves on one HTML page.
    Report(report::Arguments),
    /// Trains on shards by a recipe; started again on the same folder, it goes on.
    #[cfg(feature = "torch")]
    Pretrain(pretrain::Arguments),
    /// Makes a model directory of a run's checkpoint, which detcon-server serves.
    #[cfg(feature = "torch")]
    Export(export::Arguments),
    /// Trains a segmentation head on a model's features and adds it to the model.
    #[cfg(feature = "torch")]
    Finetune(finetune::Arguments),
    /// Judges a model's embeddings: nearest neighbours and a linear probe on labelled images.
    #[cfg(feature = "torch")]
    Probe(probe::Arguments),
    /// Takes one step on mock data: whether training works here, and how fast.
    #[cfg(feature = "torch")]
    Sanity(sanity::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detcon-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Masks(arguments) => masks::run(arguments),
        Command::Objects(arguments) => objects::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        #[cfg(feature = "torch")]
        Command::Pretrain(arguments) => pretrain::run(arguments),
        #[cfg(feature = "torch")]
        Command::Export(arguments) => export::run(arguments),
        #[cfg(feature = "torch")]
        Command::Finetune(arguments) => finetune::run(arguments),
        #[cfg(feature = "torch")]
        Command::Probe(arguments) => probe::run(arguments),
        #[cfg(feature = "torch")]
        Command::Sanity(arguments) => sanity::run(arguments),
    }
}
