//! `detcon-train masks`.

use std::io::{ErrorKind, Write as _};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use clap::{Args, ValueEnum};
use detcon_core::image::ImageLimits;
use detcon_data::annotations::Annotations;
use detcon_data::shards::Split;
use detcon_data::share::ShareArguments;
use detcon_trainer::masks::{
    self, Layout, MaskSettings, MaskSource, MasksError, Overflow, Progress, Run, Segmentation,
    SourceSet,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::outline::{WithoutOutlineArgument, tell_without_outline};

#[derive(Args)]
#[command(after_long_help = include_str!("../help/masks.txt"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    segments: SegmentArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Args)]
struct ImageArguments {
    /// Folder of images, or the list.
    #[arg(long)]
    input: PathBuf,
    /// How the images lie there [default: folders for each class, or else images without; with --annotations the images
    /// that they are of].
    #[arg(long, value_enum)]
    layout: Option<LayoutArgument>,
    /// Folder of ImageNet's text files (synsets, metadata, validation labels) [default: the input].
    #[arg(long)]
    lists: Option<PathBuf>,
    /// What the images are for.
    #[arg(long, value_enum, default_value_t = SplitArgument::Train)]
    split: SplitArgument,
    /// Seed of the order in which images are written.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Images that cannot be used are listed as ever, but are no reason to exit with 1.
    #[arg(long)]
    skip_corrupt: bool,
}

#[derive(Args)]
struct SegmentArguments {
    /// Rectangles instead of segments, such as 7x7: rows x columns.
    #[arg(long, value_name = "RxC", conflicts_with_all = ["scale", "min_size", "sigma"])]
    grid: Option<GridArgument>,
    /// Objects instead of segments: COCO's instances (polygons and run lengths), by the images' file names.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["grid", "scale", "min_size", "sigma"])]
    annotations: Option<PathBuf>,
    /// What becomes of annotations without a segmentation.
    #[arg(long, value_enum, default_value_t = WithoutOutlineArgument::Skip, requires = "annotations")]
    without_outline: WithoutOutlineArgument,
    /// Label PNGs instead of segments: a folder that holds a/b.png for the image a/b.jpg.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["annotations", "grid", "scale", "min_size", "sigma"])]
    label_maps: Option<PathBuf>,
    /// Larger values make larger segments. Several, with commas, make several masks; upstream trains with one.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    scale: Vec<f64>,
    /// Smallest segment in pixels, for each scale.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    min_size: Vec<u32>,
    /// Standard deviation in pixels of the blur before.
    #[arg(long, default_value_t = 0.8)]
    sigma: f64,
    /// What becomes of masks of more than 256 segments, which one byte a pixel cannot hold.
    #[arg(long, value_enum, default_value_t = OverflowArgument::Error)]
    overflow: OverflowArgument,
}

#[derive(Args)]
struct OutputArguments {
    /// Folder for the shards. A run that was stopped goes on where it was.
    #[arg(long)]
    output: PathBuf,
    /// Shards of the whole data set [default: as upstream's reader wants, 2048 or for validation 256].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99_999))]
    shards: Option<u32>,
    #[command(flatten)]
    share: ShareArguments,
    /// Also draw the segments over the first images, on a contact sheet.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=400))]
    preview: u16,
    /// Images worked on at once [default: one for each core].
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

/// Rows and columns, as the command line spells them.
#[derive(Clone, Copy)]
struct GridArgument {
    rows: NonZeroU16,
    columns: NonZeroU16,
}

impl FromStr for GridArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rows, columns) = text.split_once('x').unwrap_or((text, ""));
        match (rows.parse(), columns.parse()) {
            (Ok(rows), Ok(columns)) => Ok(Self { rows, columns }),
            _ => Err("write rows x columns, such as 7x7"),
        }
    }
}

/// The layouts, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum LayoutArgument {
    /// A folder for each class, numbered by name.
    Imagefolder,
    /// ImageNet (ILSVRC 2012): a folder for each synset, and text files of classes.
    Imagenet,
    /// A text file: a path on each line, perhaps a tab and the class, from 1.
    List,
}

impl From<LayoutArgument> for Layout {
    fn from(argument: LayoutArgument) -> Self {
        match argument {
            LayoutArgument::Imagefolder => Self::ImageFolder,
            LayoutArgument::Imagenet => Self::ImageNet,
            LayoutArgument::List => Self::List,
        }
    }
}

/// The splits, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum SplitArgument {
    /// To train on.
    Train,
    /// To evaluate on.
    Validation,
}

impl From<SplitArgument> for Split {
    fn from(argument: SplitArgument) -> Self {
        match argument {
            SplitArgument::Train => Self::Train,
            SplitArgument::Validation => Self::Validation,
        }
    }
}

/// What to do about too many segments, as the command line spells it.
#[derive(Clone, Copy, ValueEnum)]
enum OverflowArgument {
    /// Leave the image out and list it.
    Error,
    /// Merge the smallest segments with the neighbours they touch most, and list the image.
    Merge,
}

impl From<OverflowArgument> for Overflow {
    fn from(argument: OverflowArgument) -> Self {
        match argument {
            OverflowArgument::Error => Self::Error,
            OverflowArgument::Merge => Self::Merge,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { images, output, .. } = arguments;
    let split = images.split.into();
    let settings = settings(arguments, split)?;
    let set = source_set(images, &settings.masks)?;
    let run = Run {
        set: &set,
        split,
        settings: &settings,
        part: output.share.share()?,
        threads: output
            .threads
            .or_else(|| thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN),
        limits: ImageLimits::default(),
        preview: output.preview.into(),
    };
    let bar = progress_bar();
    let summary = masks::run(&run, &output.output, &mut |progress| show(&bar, progress))?;
    bar.finish_and_clear();
    print(&(serde_json::to_string_pretty(&summary)? + "\n"))?;
    let failed = summary.images.failed;
    anyhow::ensure!(
        failed == 0 || images.skip_corrupt,
        "{failed} of {} images could not be used and are left out; the summary lists them, --skip-corrupt accepts it",
        failed + summary.images.stored,
    );
    Ok(())
}

fn settings(arguments: &Arguments, split: Split) -> Result<MaskSettings, MasksError> {
    Ok(MaskSettings {
        masks: mask_source(&arguments.segments)?,
        overflow: arguments.segments.overflow.into(),
        shards: arguments.output.shards.unwrap_or(split.upstream_shards()),
        seed: arguments.images.seed,
    })
}

/// The images of the layout that was asked for; without one, those that annotations are of.
fn source_set(images: &ImageArguments, masks: &MaskSource) -> Result<SourceSet, MasksError> {
    let (input, seed) = (&images.input, images.seed);
    match (images.layout, masks) {
        (None, MaskSource::Annotations(annotations)) => {
            SourceSet::annotated(annotations, input, seed)
        }
        (None, _) => SourceSet::in_folder(input, seed),
        (Some(layout), _) => {
            let lists = images.lists.as_deref();
            SourceSet::find(layout.into(), input, lists, images.split.into(), seed)
        }
    }
}

fn mask_source(arguments: &SegmentArguments) -> Result<MaskSource, MasksError> {
    if let Some(GridArgument { rows, columns }) = arguments.grid {
        return Ok(MaskSource::Grid { rows, columns });
    }
    if let Some(path) = &arguments.annotations {
        let annotations = Annotations::read(path, arguments.without_outline.into())?;
        let (ids, what) = annotations.without_outline();
        tell_without_outline(ids, what);
        return Ok(MaskSource::Annotations(annotations));
    }
    if let Some(folder) = arguments.label_maps.clone() {
        return Ok(MaskSource::LabelMaps { folder });
    }
    segmentations(arguments)
}

fn segmentations(arguments: &SegmentArguments) -> Result<MaskSource, MasksError> {
    let SegmentArguments {
        scale,
        min_size,
        sigma,
        ..
    } = arguments;
    if scale.len() != min_size.len() {
        let (scales, min_sizes) = (scale.len(), min_size.len());
        return Err(MasksError::Uneven { scales, min_sizes });
    }
    let pairs = scale.iter().zip(min_size);
    let segmentations = pairs.map(|(&scale, &min_size)| Segmentation {
        scale,
        sigma: *sigma,
        min_size,
    });
    Ok(MaskSource::Felzenszwalb {
        segmentations: segmentations.collect(),
    })
}

/// Drawn on standard error if that is a terminal, hidden otherwise.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{wide_bar} {human_pos}/{human_len} images, {per_sec}, {eta} left",
    );
    ProgressBar::no_length().with_style(style.expect("the template is right"))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of as u64);
    bar.set_position(progress.done as u64);
}

/// Writes to standard output. A reader such as `head` may have seen enough: that is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
