//! `detcon-train export`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use detcon_core::files::Existing;
use detcon_trainer::device::check_version;
use detcon_trainer::export::{At, ExportOptions, Weights, export};

#[derive(Args)]
#[command(after_long_help = include_str!("../help/export.txt"))]
pub(crate) struct Arguments {
    /// Folder of the run.
    run: PathBuf,
    /// Model directory to make; its last part is the model's name.
    #[arg(long, value_name = "MODEL_DIR")]
    to: PathBuf,
    /// Which checkpoint: the number of its step, `last`, or `best`, the one before which the loss was lowest.
    #[arg(long, default_value = "last", value_name = "STEP")]
    step: AtArgument,
    /// Which of the two networks of DetCon-B. The published checkpoints hold the online one.
    #[arg(long, value_enum, visible_alias = "network", default_value_t = WeightsArgument::Online)]
    weights: WeightsArgument,
    /// SPDX identifier of the weights' licence, for the manifest.
    #[arg(long)]
    license: Option<String>,
    /// Replace a directory that is there, once the new one is whole: a server that watches its store changes over
    /// without a failed request.
    #[arg(long, visible_alias = "replace")]
    force: bool,
}

/// The two networks, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum WeightsArgument {
    /// The network that learns by gradients.
    Online,
    /// The network that follows it, a moving average.
    Target,
}

#[derive(Clone, Copy)]
struct AtArgument(At);

impl FromStr for AtArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "last" => At::Last,
            "best" => At::Best,
            number => At::Step(
                number
                    .parse()
                    .map_err(|_| "give the number of a step, `best` or `last`".to_owned())?,
            ),
        }))
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    check_version()?;
    let options = ExportOptions {
        at: arguments.step.0,
        weights: match arguments.weights {
            WeightsArgument::Online => Weights::Online,
            WeightsArgument::Target => Weights::Target,
        },
        existing: if arguments.force {
            Existing::Replace
        } else {
            Existing::Keep
        },
        license: arguments.license.clone(),
    };
    let exported = export(&arguments.run, &arguments.to, &options)?;
    println!(
        "{}: {} network of {} after {} steps, {} backbone and {} head tensors",
        arguments.to.display(),
        exported.training.network,
        exported.checkpoint.display(),
        exported.training.steps,
        exported.backbone,
        exported.heads,
    );
    Ok(())
}
