//! `detcon-extract embeddings`.

use clap::Args;
use detcon_extractor::output::Vectors;
use detcon_extractor::work::{Float, Pixels, Product};
use detcon_inference::Dense;

use super::extract::{Asked, Opened, extract};
use super::flags::Flags;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    extract(&arguments.flags, Dense::Main, |opened: &Opened| {
        Ok(Asked {
            command: "embeddings",
            product: Product::Embeddings,
            vectors: Vectors::Embedding(opened.network.manifest().embedding_size),
            float: Float::Single,
            pixels: Pixels::Shown,
            options: String::new(),
            usual: 4096,
        })
    })
}
