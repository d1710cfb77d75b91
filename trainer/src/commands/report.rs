//! `detcon-train report`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use detcon_trainer::report::report;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/report.txt"))]
pub(crate) struct Arguments {
    /// Folder of the run.
    run: PathBuf,
    /// Where the page goes [default: report.html in the run's folder].
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let page = report(&arguments.run)?;
    let output = &arguments.output;
    let output = (output.clone()).unwrap_or_else(|| arguments.run.join("report.html"));
    std::fs::write(&output, page).with_context(|| format!("{}", output.display()))?;
    println!("{}", output.display());
    Ok(())
}
