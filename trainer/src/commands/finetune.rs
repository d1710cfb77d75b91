//! `detcon-train finetune`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use detcon_core::arch::Stage;
use detcon_core::files::Existing;
use detcon_core::model::{HeadQuality, ModelName};
use detcon_core::segment::HeadKind;
use detcon_trainer::finetune::{
    Classes, FinetuneSettings, LabelledFolder, Progress, Validation, finetune,
};
use detcon_trainer::frozen::FrozenModel;
use indicatif::ProgressBar;

use super::ranks::DeviceArguments;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A 1x1 convolution.
    Linear,
    /// A 3x3 convolution, batch norm, `ReLU` and a 1x1 convolution.
    Fcn,
}

#[derive(Clone, Copy, ValueEnum)]
enum Features {
    /// Stride 32.
    C5,
    /// Stride 16: finer borders.
    C4,
}

#[derive(Args)]
#[command(after_long_help = include_str!("../help/finetune.txt"))]
pub(crate) struct Arguments {
    /// The model directory, which gets the head: `detcon-server` serves it as method=head:NAME.
    model: PathBuf,
    #[command(flatten)]
    data: DataArguments,
    /// What the labels' ids mean: a file with a name a line, or NAME,NAME,….
    #[arg(long, value_name = "FILE|A,B,C")]
    classes: String,
    /// The head's name.
    #[arg(long, value_name = "NAME")]
    head: String,
    /// What the head is made of.
    #[arg(long, value_enum, default_value = "linear")]
    kind: Kind,
    /// The features that it reads.
    #[arg(long, value_enum, default_value = "c5")]
    features: Features,
    /// Shorter side of the images in the network, in pixels [default: the model's].
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..=1024))]
    size: Option<u32>,
    /// Passes over the images.
    #[arg(long, default_value = "40")]
    epochs: NonZeroU32,
    /// Images of a step.
    #[arg(long, default_value = "16")]
    batch: NonZeroUsize,
    /// Learning rate of `AdamW` at the start; it falls to 0 as a cosine.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Seed of the first weights, of the order of the images and of --validation-share.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replaces a head of the same name.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

#[derive(Args)]
struct DataArguments {
    /// Folder of images.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of label PNGs, gray or palette, each with the name and the size of its image.
    #[arg(long, value_name = "DIR")]
    labels: PathBuf,
    /// Id that counts for nothing.
    #[arg(long, default_value_t = 255)]
    ignore_label: u16,
    /// Leaves out images without a label.
    #[arg(long)]
    skip_unlabelled: bool,
    /// Share of the images that the head is measured on and does not learn from.
    #[arg(long, default_value_t = 0.2, conflicts_with = "validation_images")]
    validation_share: f64,
    /// Other images to measure on.
    #[arg(long, value_name = "DIR", requires = "validation_labels")]
    validation_images: Option<PathBuf>,
    /// Their labels.
    #[arg(long, value_name = "DIR", requires = "validation_images")]
    validation_labels: Option<PathBuf>,
}

impl DataArguments {
    fn validation(&self) -> Validation {
        match (&self.validation_images, &self.validation_labels) {
            (Some(images), Some(labels)) => Validation::Folder(LabelledFolder {
                images: images.clone(),
                labels: labels.clone(),
            }),
            _ => Validation::Share(self.validation_share),
        }
    }
}

impl Arguments {
    fn settings(&self) -> anyhow::Result<FinetuneSettings> {
        let name = ModelName::try_from(self.head.clone());
        Ok(FinetuneSettings {
            name: name.map_err(|_| {
                anyhow::anyhow!(
                    "--head {:?}: use letters, digits, '.', '_' and '-', and no '.' in front",
                    self.head
                )
            })?,
            kind: match self.kind {
                Kind::Linear => HeadKind::Linear,
                Kind::Fcn => HeadKind::Fcn,
            },
            stage: match self.features {
                Features::C5 => Stage::C5,
                Features::C4 => Stage::C4,
            },
            size: self.size,
            classes: self.classes.parse::<Classes>()?,
            ignored: self.data.ignore_label,
            epochs: self.epochs,
            batch: self.batch,
            learning_rate: self.lr,
            seed: self.seed,
            skip_unlabelled: self.data.skip_unlabelled,
            existing: if self.replace {
                Existing::Replace
            } else {
                Existing::Keep
            },
        })
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    let device = arguments.device.open(0)?;
    let mut model = FrozenModel::open(&arguments.model, device)
        .with_context(|| arguments.model.display().to_string())?;
    let images = LabelledFolder {
        images: arguments.data.images.clone(),
        labels: arguments.data.labels.clone(),
    };
    let bar = ProgressBar::new(0);
    let validation = arguments.data.validation();
    let told = |progress| match progress {
        Progress::Features { done, images } => {
            bar.set_length(images as u64);
            bar.set_position(done as u64);
            bar.set_message("images");
        }
        Progress::Epoch { epoch, loss } => {
            bar.set_length(settings.epochs.get().into());
            bar.set_position(epoch.into());
            bar.set_message(format!("loss {loss:.3}"));
        }
    };
    let quality = finetune(&mut model, &images, &validation, &settings, told)?;
    bar.finish_and_clear();
    print(&settings, &quality);
    Ok(())
}

fn print(settings: &FinetuneSettings, quality: &HeadQuality) {
    for (name, iou) in settings.classes.names().iter().zip(&quality.class_iou) {
        match iou {
            Some(iou) => println!("{iou:>7.3}  {name}"),
            None => println!("      -  {name} (no pixel of it)"),
        }
    }
    println!(
        "mIoU {:.3}, {:.1} % of the pixels right, on {} images {}: served as method=head:{}",
        quality.mean_iou,
        100.0 * quality.pixel_accuracy,
        quality.images,
        quality.measured_on,
        settings.name,
    );
}
