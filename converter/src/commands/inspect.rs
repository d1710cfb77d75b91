//! `detcon-convert inspect`.

use clap::Args;
use detcon_converter::inspect::inspect;
use detcon_converter::location::Location;

use super::output::print;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Checkpoint: a file, or an https:// or gs:// address.
    input: Location,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = inspect(&arguments.input)?;
    print(&if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    })
}
