//! `detcon-extract`: data sets in, Parquet files of embeddings, regions or features out.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{embeddings, features, regions, status};

/// Computes embeddings, regions or dense features of a data set with a model: folders, lists, tar shards, Parquet files or
/// TFRecord shards in, Parquet files out, on as many machines as there are. Killed, it goes on where it was.
#[derive(Parser)]
#[command(name = "detcon-extract", version, max_term_width = 100, after_long_help = include_str!("help/program.txt"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One vector for each image.
    Embeddings(Box<embeddings::Arguments>),
    /// One vector for each region of each image.
    Regions(Box<regions::Arguments>),
    /// The features of a stage of each image.
    Features(Box<features::Arguments>),
    /// Says what of an output is there, and what is missing.
    Status(status::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detcon-extract: {}", line(&error));
            ExitCode::FAILURE
        }
    }
}

/// What went wrong and what caused it, in one line, but for causes whose words are in it already.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            let separator = if line.is_empty() { "" } else { ": " };
            line.push_str(separator);
            line.push_str(&cause);
        }
    }
    line.replace('\n', " ")
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Embeddings(arguments) => embeddings::run(arguments),
        Command::Regions(arguments) => regions::run(arguments),
        Command::Features(arguments) => features::run(arguments),
        Command::Status(arguments) => status::run(arguments),
    }
}
