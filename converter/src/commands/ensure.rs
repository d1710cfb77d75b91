//! `detcon-convert ensure`.

use std::path::PathBuf;

use clap::Args;
use detcon_converter::ensure::{Ensured, ensure};
use detcon_converter::location::Location;
use detcon_core::arch::ResNetSpec;

use super::fetching::FetchArguments;
use super::output::tell;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/ensure.txt"))]
pub(crate) struct Arguments {
    /// Model directory; its last part is the model's name.
    model_dir: PathBuf,
    /// Checkpoint to import: a file, an https:// or gs:// address, or a short name such as detcon:resnet50-imagenet.
    #[arg(long)]
    from: Location,
    /// Network to make where the checkpoint cannot be reached.
    #[arg(long, default_value = "resnet50")]
    arch: ResNetSpec,
    #[command(flatten)]
    fetch: FetchArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let fetch = arguments.fetch.options();
    match ensure(
        &arguments.model_dir,
        &arguments.from,
        arguments.arch,
        &fetch,
    )? {
        Ensured::Present | Ensured::Imported => {}
        Ensured::Untrained { reason } => tell(&format!(
            "{reason}; {} is an untrained {} until it can be",
            arguments.model_dir.display(),
            arguments.arch
        )),
    }
    Ok(())
}
