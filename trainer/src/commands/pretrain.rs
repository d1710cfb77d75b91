//! `detcon-train pretrain`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use detcon_trainer::recipe::Recipe;
use detcon_trainer::run::{Run, RunOptions};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::ranks::{DeviceArguments, RankArguments};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Settings of the run, in TOML [default: upstream's `ImageNet` run].
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// A setting in place of the recipe's, as in loss.temperature=0.2.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of TFRecord shards, as `detcon-train masks` and upstream write them.
    #[arg(long)]
    data: PathBuf,
    /// Folder of the run. Started again on the same folder, it goes on after the last checkpoint.
    #[arg(long)]
    run: PathBuf,
    /// Threads that load images [default: one for each core].
    #[arg(long)]
    loader_threads: Option<NonZeroUsize>,
    /// Steps between checkpoints.
    #[arg(long, default_value = "1000")]
    checkpoint_every: NonZeroU64,
    /// Checkpoints that are kept.
    #[arg(long, default_value = "3")]
    keep: NonZeroUsize,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    ranks: RankArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let recipe = match &arguments.recipe {
        Some(path) => Recipe::read(path, &arguments.set)?,
        None => Recipe::parse("", &arguments.set)?,
    };
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = RunOptions {
        loader_threads: arguments.loader_threads.unwrap_or_else(cores),
        checkpoint_every: arguments.checkpoint_every,
        keep: arguments.keep,
        device: arguments.device.open(arguments.ranks.local_rank())?,
    };
    let group = arguments.ranks.meet(options.device)?;
    let mut run = Run::open_among(&arguments.run, &arguments.data, recipe, options, group)?;
    if run.next_step() > 0 {
        eprintln!("going on at step {} of {}", run.next_step(), run.steps());
    }
    let bar = progress(&run);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    while let Some(report) = run.step()? {
        bar.set_position(report.step + 1);
        bar.set_message(format!(
            "loss {:.3}, rate {:.3}, {:.1} images/s, {:.0} % waiting",
            report.logs.loss,
            report.logs.learning_rate,
            report.images_per_second,
            100.0 * report.waiting,
        ));
        for warning in run.take_warnings() {
            bar.suspend(|| eprintln!("detcon-train: {warning}"));
        }
        if run.any(stop.load(Ordering::Relaxed))? {
            bar.abandon();
            let place = run.save()?;
            println!(
                "stopped after {} of {} steps, saved in {}: start again to go on",
                run.next_step(),
                run.steps(),
                place.display()
            );
            return Ok(());
        }
    }
    bar.finish();
    println!(
        "{} steps; the last checkpoint is below {}",
        run.steps(),
        arguments.run.join("checkpoints").display()
    );
    Ok(())
}

fn progress(run: &Run) -> ProgressBar {
    let bar = ProgressBar::new(run.steps()).with_position(run.next_step());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
