//! `detcon-server bench`: how much a machine serves, and how much of the bare engine that is, so that one can size it.
//!
//! Everything is measured in one run, in this order: the bare engine and closed loops in turn, round by round; one
//! client alone; requests that arrive at random below capacity, beside a simulated queue; and above capacity.

pub mod arrivals;
pub mod bare;
pub mod client;
pub mod load;
mod measure;
pub mod report;
pub mod target;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::http::HeaderValue;
use bytes::Bytes;
use clap::Args;
use detcon_core::image::ImageLimits;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_inference::{Runtime, prepared};

use bare::Bare;
use load::{Request, percentile};
use measure::{Bench, Reference};
use target::Target;

/// Repetitions of decoding; the median is reported.
const DECODES: usize = 50;

/// Measures how many images a second a server answers, how fast, and how much of the bare engine that is.
///
/// Without --url it starts a server of its own on a free port and stops it in the end. Flags after `--` are that
/// server's: `detcon-server bench --models models photo.jpg -- --max-batch 4`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = include_str!("help/bench.txt"))]
pub struct BenchArguments {
    /// The image that is sent: a photograph of the size and format that clients will send.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// A server that runs already; load comes from this machine, so let it be another.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The store to serve from, and to find the bare engine's graph in.
    #[arg(
        long,
        env = "DETCON_MODELS",
        value_name = "DIR",
        required_unless_present = "url"
    )]
    models: Option<PathBuf>,
    /// The model that is asked [default: the only one].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Arithmetic of the bare engine; lower ones are also held against fp32.
    #[arg(long, value_name = "PRECISION", default_value = "fp32", value_parser = precision)]
    precision: Precision,
    /// Threads of the bare engine [default: the processors this process may use].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Images in a batch of the bare engine, beside batch 1.
    #[arg(long, value_name = "N", default_value = "8")]
    batch: NonZeroUsize,
    /// Clients that send one request after the other; several numbers are measured one by one.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "8")]
    clients: Vec<NonZeroUsize>,
    /// Seconds of each loop in a round.
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    seconds: NonZeroU64,
    /// Rounds of bare and closed loops; medians are reported.
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroUsize,
    /// Requests that arrive at random, at this share of the best closed rate.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    open: Option<f64>,
    /// Requests that arrive at random, at this multiple of the best closed rate.
    #[arg(long, value_name = "MULTIPLE", value_parser = share)]
    overload: Option<f64>,
    /// Seconds of each of the two.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    open_seconds: NonZeroU64,
    /// Key for a server that wants one.
    #[arg(
        long,
        env = "DETCON_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// ONNX Runtime's shared library, as for the server.
    #[arg(long, env = "DETCON_ONNXRUNTIME", value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Writes what was measured here, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Flags of the server that is started.
    #[arg(last = true, value_name = "SERVER FLAGS")]
    server: Vec<String>,
}

fn precision(text: &str) -> Result<Precision, String> {
    [Precision::Fp32, Precision::Fp16, Precision::Int8]
        .into_iter()
        .find(|precision| precision.to_string() == text)
        .ok_or_else(|| "give fp32, fp16 or int8".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.01..=100.0).contains(share))
        .ok_or_else(|| "give a number from 0.01 to 100".to_owned())
}

/// Measures, prints and writes what was found.
pub async fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let image = std::fs::read(&arguments.image)
        .with_context(|| format!("{} cannot be read", arguments.image.display()))?;
    let reference = arguments.reference(&image)?;
    let target = match (&arguments.url, &arguments.models) {
        (Some(url), _) => Target::running(url),
        (None, Some(models)) => {
            Target::start(&std::env::current_exe()?, models, &arguments.server_flags()).await?
        }
        (None, None) => unreachable!("clap asks for one of them"),
    };
    target.ready().await?;
    let bench = Bench {
        request: arguments.request(&target, image.clone().into())?,
        reference,
        arguments,
        target,
    };
    let report = bench.measure().await?;
    print!("{report}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}

impl BenchArguments {
    fn server_flags(&self) -> Vec<String> {
        let library = self
            .onnxruntime
            .iter()
            .flat_map(|path| ["--onnxruntime".to_owned(), path.display().to_string()]);
        let precision = ["--precision".to_owned(), self.precision.to_string()];
        library
            .chain(precision)
            .chain(self.server.iter().cloned())
            .collect()
    }

    fn request(&self, target: &Target, image: Bytes) -> anyhow::Result<Request> {
        // The server looks at the bytes, whichever format is named.
        let content_type = HeaderValue::from_static("application/octet-stream");
        let name = self.model.as_ref();
        let query = name.map_or_else(String::new, |name| format!("?model={name}"));
        let url = target.url(&format!("/v1/embeddings{query}"));
        Ok(Request::new(
            url,
            content_type,
            image,
            self.api_key.as_deref(),
        )?)
    }

    /// The bare engine, where the model is at hand.
    fn reference(&self, image: &[u8]) -> anyhow::Result<Option<Reference>> {
        let Some(models) = &self.models else {
            return Ok(None);
        };
        let directory = self.directory(models)?;
        let model = ModelDirectory::open(&directory)?;
        let runtime = Runtime::load(&detcon_inference::library(self.onnxruntime.as_deref()))?;
        let open = |precision| -> anyhow::Result<Bare> {
            let graph = model
                .graph(precision)
                .with_context(|| format!("{} has no graph of {precision}", directory.display()))?;
            let side = model.manifest().preprocess.size() as usize;
            Ok(Bare::open(&runtime, &graph, side, self.threads())?)
        };
        let preprocess = model.manifest().preprocess;
        let mut decodes = Vec::with_capacity(DECODES);
        for _ in 0..DECODES {
            let start = Instant::now();
            prepared(image, &ImageLimits::default(), preprocess)?;
            decodes.push(start.elapsed());
        }
        Ok(Some(Reference {
            engine: open(self.precision)?,
            fp32: match self.precision {
                Precision::Fp32 => None,
                Precision::Fp16 | Precision::Int8 => Some(open(Precision::Fp32)?),
            },
            decode: percentile(&decodes, 0.5).unwrap_or_default(),
        }))
    }

    fn directory(&self, models: &Path) -> anyhow::Result<PathBuf> {
        if let Some(name) = &self.model {
            let directory = models.join(name);
            ensure!(
                directory.is_dir(),
                "{} holds no model {name:?}",
                models.display()
            );
            return Ok(directory);
        }
        let mut directories = detcon_core::model::list(models)?;
        match (directories.pop(), directories.is_empty()) {
            (Some(directory), true) => Ok(directory),
            (Some(_), false) => bail!(
                "{} holds several models: name one with --model",
                models.display()
            ),
            (None, _) => bail!("{} holds no model: import one first", models.display()),
        }
    }

    const fn span(&self) -> Duration {
        Duration::from_secs(self.seconds.get())
    }

    const fn open_span(&self) -> Duration {
        Duration::from_secs(self.open_seconds.get())
    }

    fn threads(&self) -> NonZeroUsize {
        let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(processors)
    }
}
