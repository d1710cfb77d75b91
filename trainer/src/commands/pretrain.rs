//! `detcon-train pretrain`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use detcon_trainer::judge::Judge;
use detcon_trainer::loader::{DataPlace, DataSet};
use detcon_trainer::memory;
use detcon_trainer::recipe::Recipe;
use detcon_trainer::run::{OtherData, Run, RunOptions};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::outline::{WithoutOutlineArgument, tell_without_outline};
use super::progress::Progress;
use super::ranks::{DeviceArguments, RankArguments};

/// Damaged images that are listed at the end.
const SHOWN: usize = 5;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/pretrain.txt"))]
pub(crate) struct Arguments {
    /// Settings of the run, in TOML [default: upstream's `ImageNet` run].
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// A setting in place of the recipe's, as in loss.temperature=0.2.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    judge: JudgeArguments,
    /// Folder of the run. Started again on the same folder, it goes on after the last checkpoint.
    #[arg(long)]
    run: PathBuf,
    /// Run or model directory whose weights a new run starts from: the backbone, and the heads that fit. The target
    /// starts as a copy.
    #[arg(long, value_name = "RUN|MODEL_DIR")]
    init: Option<PathBuf>,
    /// Goes on with other images than the run has learned from.
    #[arg(long)]
    other_data: bool,
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

#[derive(Args)]
struct DataArguments {
    /// Folder of TFRecord shards, of a folder of images for each class, of images without classes, or of the images of
    /// --annotations.
    #[arg(long)]
    data: PathBuf,
    /// COCO's instances of the images in --data: their objects are the masks.
    #[arg(long, value_name = "JSON")]
    annotations: Option<PathBuf>,
    /// What becomes of annotations without a segmentation.
    #[arg(long, value_enum, default_value_t = WithoutOutlineArgument::Skip, requires = "annotations")]
    without_outline: WithoutOutlineArgument,
    /// Keeps the masks that are made of images in folders, for later epochs and runs.
    #[arg(long, value_name = "DIR", conflicts_with = "annotations")]
    mask_cache: Option<PathBuf>,
}

impl DataArguments {
    fn place(&self) -> DataPlace {
        DataPlace {
            folder: self.data.clone(),
            annotations: self.annotations.clone(),
            without_outline: self.without_outline.into(),
            mask_cache: self.mask_cache.clone(),
        }
    }
}

#[derive(Args)]
struct JudgeArguments {
    /// Labelled images (shards, or a folder for each class) to judge the features by while they are learned: nearest
    /// neighbours classify every fifth by the others.
    #[arg(long, value_name = "DIR")]
    knn: Option<PathBuf>,
    /// Steps between judgements.
    #[arg(long, default_value = "1000", requires = "knn")]
    knn_every: NonZeroU64,
}

impl JudgeArguments {
    fn judge(&self, recipe: &Recipe) -> anyhow::Result<Option<Judge>> {
        let Some(folder) = &self.knn else {
            return Ok(None);
        };
        let images = DataSet::open(folder, recipe.masks)?;
        Ok(Some(Judge::new(images, self.knn_every, recipe.image_size)?))
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let recipe = match &arguments.recipe {
        Some(path) => Recipe::read(path, &arguments.set)?,
        None => Recipe::parse("", &arguments.set)?,
    };
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = RunOptions {
        init: arguments.init.clone(),
        other_data: if arguments.other_data {
            OtherData::Accept
        } else {
            OtherData::Refuse
        },
        loader_threads: arguments.loader_threads.unwrap_or_else(cores),
        checkpoint_every: arguments.checkpoint_every,
        keep: arguments.keep,
        device: arguments.device.open(arguments.ranks.local_rank())?,
    };
    let group = arguments.ranks.meet(options.device)?;
    let mut run = Run::open_among(
        &arguments.run,
        arguments.data.place(),
        recipe,
        options,
        group,
    )?;
    if let Some(judge) = arguments.judge.judge(&recipe)? {
        run = run.judged_by(judge);
    }
    if let Some((ids, what)) = run.without_outline().filter(|_| run.leads()) {
        tell_without_outline(ids, what);
    }
    if run.leads() {
        let available = arguments.device.memory(arguments.ranks.local_count());
        let outlook = memory::outlook(&recipe, arguments.ranks.count(), available);
        eprintln!("{outlook}");
    }
    if run.next_step() > 0 {
        eprintln!("going on at step {} of {}", run.next_step(), run.steps());
    }
    let mut progress = Progress::of(&run);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    while let Some(report) = run.step()? {
        progress.note(&report);
        for warning in run.take_warnings() {
            progress.warn(&warning);
        }
        if run.any(stop.load(Ordering::Relaxed))? {
            progress.end();
            let place = run.save()?;
            println!(
                "stopped after {} of {} steps, saved in {}: start again to go on",
                run.next_step(),
                run.steps(),
                place.display()
            );
            tell_skipped(&run);
            return Ok(());
        }
    }
    progress.end();
    println!(
        "{} steps; the last checkpoint is below {}",
        run.steps(),
        arguments.run.join("checkpoints").display()
    );
    tell_skipped(&run);
    Ok(())
}

/// What was wrong with the images that were passed over.
fn tell_skipped(run: &Run) {
    let damaged = run.damaged();
    if damaged.is_empty() {
        return;
    }
    println!("damaged images that were passed over: {}", damaged.len());
    for reason in damaged.values().take(SHOWN) {
        println!("  {reason}");
    }
    if damaged.len() > SHOWN {
        println!("  and {} more", damaged.len() - SHOWN);
    }
}
