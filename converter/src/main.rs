//! `detcon-convert`: published checkpoints in, model directories out.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use detcon_converter::demo::demo;
use detcon_converter::ensure::{Ensured, ensure};
use detcon_converter::haiku::Network;
use detcon_converter::import::{ImportOptions, import};
use detcon_converter::inspect::inspect;
use detcon_converter::location::Location;
use detcon_core::arch::ResNetSpec;
use detcon_core::files::Existing;

/// Turns DetCon checkpoints as they were published (NumPy pickles) into model directories that detcon-server
/// serves: safetensors, ONNX, and a check that proves them. Nothing in a checkpoint is ever executed.
#[derive(Parser)]
#[command(name = "detcon-convert", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Converts a checkpoint into a model directory.
    Import(Import),
    /// Shows what is in a checkpoint without converting it: layout, network, tensors, every pickle global.
    Inspect(Inspect),
    /// Makes an untrained model to try things with.
    Demo(Demo),
    /// Makes sure that there is a model: imports a checkpoint, or makes an untrained one where it cannot be
    /// reached. A trained model is left as it is.
    Ensure(Ensure),
}

#[derive(Args)]
struct Import {
    /// Checkpoint: a file, or an https:// or gs:// address.
    input: Location,
    #[command(flatten)]
    output: Output,
    /// SPDX identifier of the weights' licence, for the manifest.
    #[arg(long)]
    license: Option<String>,
    /// Which network to take where the checkpoint has two.
    #[arg(long, value_enum, default_value_t = NetworkArgument::Online)]
    network: NetworkArgument,
}

/// The two networks of an experiment, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum NetworkArgument {
    /// The network that is trained by gradients, which the published checkpoints hold.
    Online,
    /// Its moving average.
    Target,
}

impl From<NetworkArgument> for Network {
    fn from(argument: NetworkArgument) -> Self {
        match argument {
            NetworkArgument::Online => Self::Online,
            NetworkArgument::Target => Self::Target,
        }
    }
}

#[derive(Args)]
struct Inspect {
    /// Checkpoint: a file, or an https:// or gs:// address.
    input: Location,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Demo {
    #[command(flatten)]
    output: Output,
    /// Network: tiny, resnet18, 34, 50, 101, 152 or 200, with x2 to x4 for width and v2 for pre-activation.
    #[arg(long, default_value = "resnet50")]
    arch: ResNetSpec,
    /// Seed of the random weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Args)]
struct Ensure {
    /// Model directory; its last part is the model's name.
    model_dir: PathBuf,
    /// Checkpoint to import: a file, or an https:// or gs:// address.
    #[arg(long)]
    from: Location,
    /// Network to make where the checkpoint cannot be reached.
    #[arg(long, default_value = "resnet50")]
    arch: ResNetSpec,
}

#[derive(Args)]
struct Output {
    /// Model directory to make; its last part is the model's name.
    model_dir: PathBuf,
    /// Replace a directory that is there, once the new one is whole.
    #[arg(long)]
    force: bool,
}

impl Output {
    const fn existing(&self) -> Existing {
        if self.force {
            Existing::Replace
        } else {
            Existing::Keep
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detcon-convert: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Import(arguments) => run_import(&arguments),
        Command::Inspect(arguments) => run_inspect(&arguments),
        Command::Demo(arguments) => run_demo(&arguments),
        Command::Ensure(arguments) => run_ensure(&arguments),
    }
}

fn run_import(arguments: &Import) -> anyhow::Result<()> {
    let options = ImportOptions {
        existing: arguments.output.existing(),
        license: arguments.license.clone(),
        network: arguments.network.into(),
    };
    let place = &arguments.output.model_dir;
    let imported = import(&arguments.input, place, &options)
        .with_context(|| format!("{} was not imported", arguments.input))?;
    println!("{}: {imported}", place.display());
    Ok(())
}

fn run_inspect(arguments: &Inspect) -> anyhow::Result<()> {
    let report = inspect(&arguments.input)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()), // a reader such as `head` may have seen enough
    }
}

fn run_demo(arguments: &Demo) -> anyhow::Result<()> {
    let place = &arguments.output.model_dir;
    demo(
        place,
        arguments.output.existing(),
        arguments.arch,
        arguments.seed,
    )?;
    println!("{}: an untrained {}", place.display(), arguments.arch);
    Ok(())
}

fn run_ensure(arguments: &Ensure) -> anyhow::Result<()> {
    match ensure(&arguments.model_dir, &arguments.from, arguments.arch)? {
        Ensured::Present | Ensured::Imported => {}
        Ensured::Untrained { reason } => eprintln!(
            "detcon-convert: {reason}; {} is an untrained {} until it can be",
            arguments.model_dir.display(),
            arguments.arch
        ),
    }
    Ok(())
}
