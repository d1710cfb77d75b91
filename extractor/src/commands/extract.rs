//! What the commands have in common: the input found and divided, the model opened, what is there checked, the rest made.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use detcon_core::image::ImageLimits;
use detcon_extractor::count::Counts;
use detcon_extractor::input::{self, Input};
use detcon_extractor::output::{Columns, Fact, Format, Identity, Parts, Vectors};
use detcon_extractor::pipeline::{self, Run, Settings};
use detcon_extractor::place::{Address, Places};
use detcon_extractor::work::{Float, Pixels, Product, Task};
use detcon_inference::{
    BatchLimits, Compute, Dense, Engine, Model, Network, OpenOptions, Output, Part, Runtime, View,
};
use serde::Serialize;

use super::flags::{Flags, MachineFlags, ModelFlags};
use super::metrics::Metrics;
use super::progress::Progress;

/// How long an engine's threads wait for work in a loop: decoders share their processors, as in the server, whose
/// `config/threads.rs` says what that is worth.
const SPINNING: Duration = Duration::from_micros(50);
/// Files that are read at the same time: of this machine, and of buckets, which take long to answer.
const READERS: [usize; 2] = [4, 32];

/// What a command asks for.
pub(super) struct Asked {
    /// Its name.
    pub(super) command: &'static str,
    /// What is computed.
    pub(super) product: Product,
    /// What it looks like.
    pub(super) vectors: Vectors,
    /// The usual type of its numbers.
    pub(super) float: Float,
    /// The usual pixels.
    pub(super) pixels: Pixels,
    /// Its own flags, as far as they decide the rows.
    pub(super) options: String,
    /// Images of a part.
    pub(super) usual: u64,
}

/// What a command may look at before it says what it asks for.
pub(super) struct Opened {
    pub(super) network: Arc<Network>,
    pub(super) input: Input,
    pub(super) places: Arc<Places>,
}

/// What a run did, as it is printed.
#[derive(Serialize)]
struct Summary {
    parts: PartsSummary,
    images: u64,
    rows: u64,
    errors: u64,
    seconds: f64,
    images_per_second: f64,
}

#[derive(Serialize)]
struct PartsSummary {
    of: u32,
    kept: usize,
    written: usize,
}

/// Does what a command asks for.
pub(super) fn extract(
    flags: &Flags,
    dense: Dense,
    asked: impl FnOnce(&Opened) -> anyhow::Result<Asked>,
) -> anyhow::Result<()> {
    let share = flags.output.share.share()?;
    let settings = settings(flags)?;
    let (opened, engines) = open(flags, dense)?;
    let asked = asked(&opened)?;
    let task = task(flags, &opened, &asked)?;
    let parts = parts(flags, &opened, &asked, &task)?;
    let settings = Settings {
        batch: BatchLimits::of(flags.machine.max_batch, task.view.size()),
        ..settings
    };
    let there = parts.there()?;
    let shared = (0..parts.parts).filter(|&part| share.holds(part));
    let (kept, todo): (Vec<_>, Vec<_>) = shared.partition(|&part| there.holds(part));
    let errors = there
        .parts
        .iter()
        .filter(|part| kept.contains(&part.name.index));
    let counts = Counts::default();
    counts.errors.add(errors.map(|part| part.errors).sum());
    let run = Run {
        input: &opened.input,
        todo: &todo,
        task: Arc::new(task),
        parts: &parts,
        settings,
        counts: &counts,
    };
    let summary = make(&run, engines, kept.len(), flags.output.metrics)?;
    println!("{}", serde_json::to_string_pretty(&summary)?);
    Ok(())
}

/// Makes the parts that are to be made, and shows how far it is.
fn make(
    run: &Run<'_>,
    engines: Vec<Engine>,
    kept: usize,
    metrics: Option<SocketAddr>,
) -> anyhow::Result<Summary> {
    if !run.todo.is_empty() {
        run.parts.place.writable()?;
    }
    let counts = run.counts;
    let (began, before) = (Instant::now(), counts.errors.get());
    let shown = Progress::of(run, engines.len());
    let metrics = metrics.map(Metrics::listen).transpose()?;
    std::thread::scope(|scope| {
        let _watched = shown.watch(scope);
        let _answered = metrics.as_ref().map(|metrics| metrics.answer(scope, run));
        pipeline::run(run, engines)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate, to be read by people")]
    let images = counts.images.get() as f64;
    Ok(Summary {
        parts: PartsSummary {
            of: run.parts.parts,
            kept,
            written: run.todo.len(),
        },
        images: counts.images.get(),
        rows: counts.rows.get(),
        errors: counts.errors.get() - before,
        seconds,
        images_per_second: images / seconds,
    })
}

fn columns(flags: &Flags) -> input::Columns {
    input::Columns {
        image: flags.input.column.clone(),
        id: flags.input.id_column.clone(),
        label: flags.input.label_column.clone(),
    }
}

/// How the machine is shared; batches are of images of a view that is not known yet.
fn settings(flags: &Flags) -> anyhow::Result<Settings> {
    let (least, machine) = (Settings::LEAST_MEMORY, &flags.machine);
    anyhow::ensure!(
        machine.memory >= least,
        "--memory {} is too little to go on with: give {least} or more",
        machine.memory
    );
    Ok(Settings {
        readers: readers(flags),
        decoders: machine.decode_threads.unwrap_or_else(processors),
        memory: machine.memory,
        batch: BatchLimits::of(machine.max_batch, View::MAX_SIZE),
        errors: flags.input.max_errors,
    })
}

/// The processors that this process may use.
fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The input found and the model opened.
fn open(flags: &Flags, dense: Dense) -> anyhow::Result<(Opened, Vec<Engine>)> {
    let output = Address::parse(&flags.output.output)?;
    anyhow::ensure!(
        !Address::parse(&flags.input.input)?.holds(&output),
        "{} lies in the input, which would be another once parts are there: give an output beside it",
        flags.output.output
    );
    let places = Arc::new(Places::default());
    let input = Input::find(&flags.input.input, &columns(flags), &places)?;
    let (network, engines) = model(&flags.model, &flags.machine, dense)?;
    let opened = Opened {
        network,
        input,
        places,
    };
    Ok((opened, engines))
}

/// The model, with an engine on each device.
fn model(
    flags: &ModelFlags,
    machine: &MachineFlags,
    dense: Dense,
) -> anyhow::Result<(Arc<Network>, Vec<Engine>)> {
    let runtime = Runtime::load(&detcon_inference::library(flags.onnxruntime.as_deref()))?;
    let mut network = None;
    let mut engines = Vec::new();
    for &device in &flags.device {
        let options = OpenOptions {
            precision: flags.precision,
            compute: Compute {
                device,
                threads: machine.engine_threads.unwrap_or_else(processors),
                spinning: SPINNING,
            },
            dense,
        };
        let path = &flags.model;
        let model = Model::open(&runtime, path, options).and_then(|mut model| {
            model.check()?;
            Ok(model)
        });
        let model = model.with_context(|| format!("{} is not opened", path.display()))?;
        let (opened, engine) = model.into_parts();
        let first: &Network = network.get_or_insert(opened);
        engines.push(engine);
        anyhow::ensure!(
            first.is_unchanged(),
            "{} was replaced while it was opened: start again",
            path.display()
        );
    }
    let network = network.context("--device names none")?;
    Ok((Arc::new(network), engines))
}

fn task(flags: &Flags, opened: &Opened, asked: &Asked) -> anyhow::Result<Task> {
    let own = opened.network.manifest().preprocess.size();
    let size = flags.model.size.unwrap_or(own);
    let task = Task {
        product: asked.product.clone(),
        network: Arc::clone(&opened.network),
        view: View::new(flags.model.view, size).context("--size")?,
        pixels: flags.input.pixels.map_or(asked.pixels, Pixels::from),
        float: flags.output.dtype.map_or(asked.float, Float::from),
        limits: ImageLimits::default(),
        input_pixels: flags.machine.max_input_pixels,
    };
    task.check()?;
    Ok(task)
}

fn parts(flags: &Flags, opened: &Opened, asked: &Asked, task: &Task) -> anyhow::Result<Parts> {
    let address = Address::parse(&flags.output.output)?;
    let format = Format::from(flags.output.format);
    let parts = opened.input.parts(flags.output.parts, asked.usual)?;
    let columns = Columns {
        vectors: asked.vectors,
        float: task.float,
        here: format == Format::Parquet,
        json: opened.input.kind().has_texts(),
    };
    Ok(Parts {
        place: opened.places.folder(&address)?,
        format,
        columns,
        identity: Arc::new(identity(flags, opened, asked, task, parts)),
        parts,
    })
}

fn identity(flags: &Flags, opened: &Opened, asked: &Asked, task: &Task, parts: u32) -> Identity {
    let (network, input) = (&opened.network, &opened.input);
    let output = match task.product {
        Product::Embeddings => Output::Embedding,
        Product::Regions(_) => Output::Features(detcon_core::arch::Stage::C5),
        Product::Features(stage) => Output::Features(stage),
    };
    let part = match flags.model.view {
        Part::Center => "center",
        Part::Full => "full",
    };
    let pixels = match task.pixels {
        Pixels::Shown => "shown",
        Pixels::Stored => "stored",
    };
    let named = [
        ("column", &flags.input.column),
        ("id-column", &flags.input.id_column),
        ("label-column", &flags.input.label_column),
    ];
    let named = named
        .into_iter()
        .filter_map(|(flag, name)| Some((flag, name.as_ref()?)));
    let named: Vec<String> = named
        .map(|(flag, name)| format!(", {flag} {name}"))
        .collect();
    let named = named.concat();
    let read = format!(
        "{} of SHA-256 {}{named}",
        input.kind().name(),
        input.digest()
    );
    let of = |text: &str| text.to_owned();
    Identity::of([
        (Fact::Command, of(asked.command)),
        (Fact::Model, network.manifest().name.to_string()),
        (Fact::Digest, of(network.digest())),
        (Fact::Precision, network.precision(output).to_string()),
        (Fact::View, format!("{part} {}", task.view.size())),
        (Fact::Pixels, of(pixels)),
        (Fact::Float, of(task.float.name())),
        (Fact::Format, of(Format::from(flags.output.format).name())),
        (Fact::Options, asked.options.clone()),
        (Fact::Batch, flags.machine.max_batch.to_string()),
        (Fact::Input, read),
        (Fact::Parts, parts.to_string()),
    ])
}

/// Files that are read at the same time.
fn readers(flags: &Flags) -> NonZeroUsize {
    let here = !flags.input.input.contains("://");
    let usual = READERS[usize::from(!here)];
    let usual = NonZeroUsize::new(usual).unwrap_or(NonZeroUsize::MIN);
    flags.machine.read_threads.unwrap_or(usual)
}
