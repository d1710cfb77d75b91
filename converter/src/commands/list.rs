//! `detcon-convert list`.

use clap::Args;
use detcon_converter::fetch::{Listed, list};
use detcon_converter::published::{BUCKET, ENDPOINT, SCHEME, short_name};

use super::output::print;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/list.txt"))]
pub(crate) struct Arguments {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Bucket to list.
    #[arg(long, default_value = BUCKET)]
    bucket: String,
    /// Where Cloud Storage answers.
    #[arg(long, default_value = ENDPOINT, hide = true)]
    endpoint: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let objects = list(arguments.endpoint.trim_end_matches('/'), &arguments.bucket)?;
    if arguments.json {
        return print(&(serde_json::to_string_pretty(&objects)? + "\n"));
    }
    objects.iter().try_for_each(|object| print(&line(object)))
}

fn line(
    Listed {
        name,
        bytes,
        address,
        ..
    }: &Listed,
) -> String {
    let short = match short_name(name) {
        Some(short) => format!("  {SCHEME}:{short}"),
        None => String::new(),
    };
    format!("{bytes:>12}  {address}{short}\n")
}
