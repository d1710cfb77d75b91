//! `detcon-convert inspect`.

use clap::Args;
use detcon_converter::inspect::inspect;
use detcon_converter::location::Location;

use super::fetching::FetchArguments;
use super::output::print;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/inspect.txt"))]
pub(crate) struct Arguments {
    /// Checkpoint: a file, an https:// or gs:// address, or a short name such as detcon:resnet50-imagenet.
    input: Location,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fetch: FetchArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = inspect(&arguments.input, &arguments.fetch.options())?;
    print(&if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    })
}
