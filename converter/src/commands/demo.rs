//! `detcon-convert demo`.

use clap::Args;
use detcon_converter::demo::demo;
use detcon_core::arch::ResNetSpec;

use super::output::{ModelDirectoryArguments, print};

#[derive(Args)]
#[command(after_long_help = include_str!("../help/demo.txt"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: ModelDirectoryArguments,
    /// Network: tiny, resnet18, 34, 50, 101, 152 or 200, with x2 to x4 for width and v2 for pre-activation.
    #[arg(long, default_value = "resnet50")]
    arch: ResNetSpec,
    /// Seed of the random weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = &arguments.output.place;
    demo(
        place,
        arguments.output.existing(),
        arguments.arch,
        arguments.seed,
    )?;
    print(&format!(
        "{}: an untrained {}\n",
        place.display(),
        arguments.arch
    ))
}
