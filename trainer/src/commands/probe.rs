//! `detcon-train probe`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use detcon_trainer::frozen::FrozenModel;
use detcon_trainer::judge::knn::KnnSettings;
use detcon_trainer::judge::linear::LinearSettings;
use detcon_trainer::probe::{ProbeSettings, probe};
use indicatif::ProgressBar;

use super::ranks::DeviceArguments;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/probe.txt"))]
pub(crate) struct Arguments {
    /// The model directory.
    model: PathBuf,
    /// Images that are known: a folder for each class.
    #[arg(long, value_name = "DIR")]
    train: PathBuf,
    /// Images whose classes are asked: folders of the same names.
    #[arg(long, value_name = "DIR")]
    test: PathBuf,
    /// Also writes the figures to this file, as JSON.
    #[arg(long, value_name = "JSON")]
    output: Option<PathBuf>,
    /// Neighbours that vote.
    #[arg(long, default_value = "20")]
    neighbours: NonZeroUsize,
    /// Temperature of their votes.
    #[arg(long, default_value = "0.07", value_parser = temperature)]
    temperature: f64,
    /// Passes of the linear probe over the known images.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Seed of the order in which the linear probe sees the images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArguments,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && f64::is_finite(value) => Ok(value),
        _ => Err("it is a number above 0".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device = arguments.device.open(0)?;
    let mut model = FrozenModel::open(&arguments.model, device)
        .with_context(|| arguments.model.display().to_string())?;
    let settings = ProbeSettings {
        knn: KnnSettings {
            neighbours: arguments.neighbours,
            temperature: arguments.temperature,
        },
        linear: LinearSettings {
            epochs: arguments.epochs,
            seed: arguments.seed,
            ..LinearSettings::default()
        },
    };
    let bar = ProgressBar::new(0);
    let told = |done: usize, images: usize| {
        bar.set_length(images as u64);
        bar.set_position(done as u64);
    };
    let (train, test) = (&arguments.train, &arguments.test);
    let report = probe(&mut model, train, test, settings, told)?;
    bar.finish_and_clear();
    let json = serde_json::to_string_pretty(&report)?;
    println!("{json}");
    if let Some(output) = &arguments.output {
        fs::write(output, format!("{json}\n")).with_context(|| output.display().to_string())?;
    }
    Ok(())
}
