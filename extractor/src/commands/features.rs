//! `detcon-extract features`.

use std::str::FromStr as _;

use clap::Args;
use detcon_core::arch::Stage;
use detcon_extractor::output::Vectors;
use detcon_extractor::work::{Float, Pixels, Product};
use detcon_inference::Dense;

use super::extract::{Asked, Opened, extract};
use super::flags::Flags;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// The stage: c2, c3, c4 or c5.
    #[arg(long, default_value = "c5", value_parser = Stage::from_str)]
    stage: Stage,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stage = arguments.stage;
    let dense = if stage == Stage::C5 {
        Dense::C5
    } else {
        Dense::All
    };
    extract(&arguments.flags, dense, |opened: &Opened| {
        let channels = opened.network.manifest().spec.channels(stage);
        Ok(Asked {
            command: "features",
            product: Product::Features(stage),
            vectors: Vectors::Features(channels),
            float: Float::Half,
            pixels: Pixels::Shown,
            options: stage.name().to_owned(),
            usual: 256,
        })
    })
}
