//! A run: which shards are to be written, and the way of every image into its own.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use detcon_core::image::ImageLimits;
use detcon_core::segment::Workspace;
use detcon_data::share::Share;

use super::in_order::in_order;
use super::journal::{Journal, Manifest, json};
use super::masker::Masker;
use super::partial::PartialShard;
use super::preview::contact_sheet;
use super::summary::{ShardReport, Shards, Summary};
use super::work::{Finished, ImageFailure, Work};
use super::{MaskSettings, MasksError, SourceSet};
use detcon_data::shards::{OnCorrupt, SampleReader, ShardName, Split};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The images in their order.
    pub set: &'a SourceSet,
    /// What they are for.
    pub split: Split,
    /// How masks are made, and how many shards.
    pub settings: &'a MaskSettings,
    /// Which of the shards are written.
    pub part: Share,
    /// Threads; each holds one image at a time.
    pub threads: NonZeroUsize,
    /// Largest image.
    pub limits: ImageLimits,
    /// Images on the contact sheet, 0 for none.
    pub preview: usize,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images done by this run, those that failed too.
    pub done: usize,
    /// Images that this run has to do.
    pub of: usize,
}

/// Writes the shards of a part into `output`, leaving those that are there and whole.
pub fn run(
    run: &Run,
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, MasksError> {
    let began = Instant::now();
    let work = Work {
        set: run.set,
        masker: Masker::of(&run.settings.masks)?,
        overflow: run.settings.overflow,
        limits: run.limits,
    };
    fs::create_dir_all(output).map_err(MasksError::io(output))?;
    let journal = Journal::begin(output, &Manifest::of(run.set, run.split, run.settings))?;
    let plan = Plan::of(run, output, &journal)?;
    let shards = Shards {
        of: run.settings.shards,
        kept: plan.kept.len(),
        written: plan.todo.len(),
    };
    let images = plan.images();
    let sequence = ShardSequence {
        output,
        journal: &journal,
        waiting: plan.todo.iter(),
        current: None,
        written: Vec::new(),
    };
    let written = write_shards(&work, &plan, sequence, run.threads, progress)?;
    let mut summary = Summary::new(run.split, run.part, shards);
    for report in plan.kept.into_iter().chain(written) {
        summary.add(report);
    }
    if run.preview > 0 {
        attach_preview(run, output, &journal)?;
    }
    summary.seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate, to be read by people")]
    let images = images as f64;
    summary.images_per_second = images / summary.seconds;
    journal.attach(&run.part.file("summary", "json"), &json(&summary))?;
    Ok(summary)
}

/// The shards of a part: reports of those that are whole, and what is to be written, in order.
struct Plan {
    kept: Vec<ShardReport>,
    todo: Vec<(ShardName, Range<usize>)>,
}

impl Plan {
    fn of(run: &Run, output: &Path, journal: &Journal) -> Result<Self, MasksError> {
        let (mut kept, mut todo) = (Vec::new(), Vec::new());
        for name in names(run) {
            match whole_shard(output, name, journal)? {
                Some(report) => kept.push(report),
                None => todo.push((name, images_of(name, run.set.len()))),
            }
        }
        Ok(Self { kept, todo })
    }

    fn images(&self) -> usize {
        self.todo.iter().map(|(_, images)| images.len()).sum()
    }
}

/// The shards of the part.
fn names(run: &Run) -> impl Iterator<Item = ShardName> {
    let (split, count, part) = (run.split, run.settings.shards, run.part);
    let indices = (0..count).filter(move |&index| part.holds(index));
    indices.map(move |index| ShardName {
        split,
        index,
        count,
    })
}

/// Which of all images are in a shard: shards differ by one image at most.
fn images_of(name: ShardName, images: usize) -> Range<usize> {
    let bound = |index: u32| {
        let bound = images as u128 * u128::from(index) / u128::from(name.count);
        usize::try_from(bound).expect("it is at most `images`")
    };
    bound(name.index)..bound(name.index + 1)
}

/// The report of a shard that is there and has the length that its report says. One of another length is removed.
fn whole_shard(
    output: &Path,
    name: ShardName,
    journal: &Journal,
) -> Result<Option<ShardReport>, MasksError> {
    let path = output.join(name.to_string());
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(MasksError::io(path)(error)),
    };
    match journal.report(name)? {
        None => Err(MasksError::Foreign { path }),
        Some(report) if report.bytes == length => Ok(Some(report)),
        Some(_) => {
            fs::remove_file(&path).map_err(MasksError::io(&path))?;
            Ok(None)
        }
    }
}

fn write_shards(
    work: &Work,
    plan: &Plan,
    mut shards: ShardSequence,
    threads: NonZeroUsize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<ShardReport>, MasksError> {
    let images: Vec<usize> = plan
        .todo
        .iter()
        .flat_map(|(_, images)| images.clone())
        .collect();
    let of = images.len();
    progress(Progress { done: 0, of });
    in_order(
        threads,
        0..of,
        Workspace::default,
        |workspace, place| work.image(workspace, &work.set.images[images[place]]),
        |place, outcome| {
            shards.push(work.set, images[place], outcome)?;
            let done = place + 1;
            progress(Progress { done, of });
            Ok::<_, MasksError>(())
        },
    )?;
    shards.finish()
}

/// The shards to be written, one open at a time.
struct ShardSequence<'a> {
    output: &'a Path,
    journal: &'a Journal,
    waiting: std::slice::Iter<'a, (ShardName, Range<usize>)>,
    current: Option<(PartialShard, Range<usize>)>,
    written: Vec<ShardReport>,
}

impl ShardSequence<'_> {
    /// Puts the next image where it belongs.
    fn push(
        &mut self,
        set: &SourceSet,
        image: usize,
        outcome: Result<Finished, ImageFailure>,
    ) -> Result<(), MasksError> {
        let holds = |(_, images): &(PartialShard, Range<usize>)| images.contains(&image);
        while !self.current.as_ref().is_some_and(holds) {
            self.advance()?;
        }
        let (shard, _) = self.current.as_mut().expect("it holds the image");
        let path = set.images[image].path.clone();
        match outcome {
            Ok(finished) => {
                shard.write(&finished.payload)?;
                shard.report.add_image(path, &finished);
            }
            Err(failure) => shard.report.add_failure(path, &failure),
        }
        Ok(())
    }

    /// Finishes the open shard and opens the next.
    fn advance(&mut self) -> Result<(), MasksError> {
        if let Some((shard, _)) = self.current.take() {
            self.written.push(shard.commit(self.journal)?);
        }
        if let Some((name, images)) = self.waiting.next() {
            let shard = PartialShard::open(self.output, *name)?;
            self.current = Some((shard, images.clone()));
        }
        Ok(())
    }

    /// Finishes the last shard and those without images.
    fn finish(mut self) -> Result<Vec<ShardReport>, MasksError> {
        while self.current.is_some() || self.waiting.len() > 0 {
            self.advance()?;
        }
        Ok(self.written)
    }
}

fn attach_preview(run: &Run, output: &Path, journal: &Journal) -> Result<(), MasksError> {
    let shards = names(run).map(|name| output.join(name.to_string()));
    let samples = SampleReader::new(shards, OnCorrupt::Fail).take(run.preview);
    let samples = samples.collect::<Result<Vec<_>, _>>()?;
    if let Some(sheet) = contact_sheet(&samples, &run.limits) {
        journal.attach(&run.part.file("preview", "png"), &sheet)?;
    }
    Ok(())
}
