//! `detcon-train`: data sets for pretraining.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::masks;

/// Makes what DetCon trains on: TFRecord shards of images with the segments that the objective contrasts.
#[derive(Parser)]
#[command(name = "detcon-train", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Turns images into TFRecord shards with masks, which upstream's reader takes too: Felzenszwalb's by default.
    Masks(masks::Arguments),
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
    }
}
