//! `detcon-train objects`.

use std::path::PathBuf;

use clap::Args;
use detcon_trainer::objects::{Counts, draw, draw_files};

#[derive(Args)]
#[command(after_long_help = include_str!("../help/objects.txt"))]
pub(crate) struct Arguments {
    /// Folder for the shards: `train`, `shuffled` (masks of other images) and `labelled` (to judge by).
    #[arg(long)]
    output: PathBuf,
    /// Images to train on.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..))]
    images: u64,
    /// Images of one object with its class.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    labelled: u64,
    /// Further images as files, to judge by: so many in a folder for each class (`classes`), and as many with label PNGs
    /// (`segmentation`).
    #[arg(long, default_value_t = 0)]
    files: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let counts = Counts {
        training: arguments.images,
        labelled: arguments.labelled,
    };
    draw(&arguments.output, counts)?;
    if arguments.files > 0 {
        draw_files(&arguments.output, arguments.files)?;
    }
    Ok(())
}
