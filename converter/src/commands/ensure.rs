//! `detcon-convert ensure`.

use std::path::PathBuf;

use clap::Args;
use detcon_converter::ensure::{Ensured, ensure};
use detcon_converter::location::Location;
use detcon_core::arch::ResNetSpec;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Model directory; its last part is the model's name.
    model_dir: PathBuf,
    /// Checkpoint to import: a file, or an https:// or gs:// address.
    #[arg(long)]
    from: Location,
    /// Network to make where the checkpoint cannot be reached.
    #[arg(long, default_value = "resnet50")]
    arch: ResNetSpec,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
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
