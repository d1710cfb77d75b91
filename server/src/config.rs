//! What the command line and the environment say. Every flag is also a variable `DETCON_…`.

mod protect;
mod store;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use detcon_core::image::ImageLimits;

pub use protect::{ImageOrigin, Origin, ProtectArguments};
pub use store::UploadArguments;

/// Most of anything that is counted: enough for every machine, and below what counters of 32 bits hold.
const MAX_COUNT: usize = 65_536;

/// Everything that can be set.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What is served.
    #[command(flatten)]
    pub models: ModelArguments,
    /// Where it is served.
    #[command(flatten)]
    pub listen: ListenArguments,
    /// How models are run.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// What a request may ask for.
    #[command(flatten)]
    pub limits: LimitArguments,
    /// Who may ask, from where, and over what.
    #[command(flatten)]
    pub protect: ProtectArguments,
    /// What may change in the store.
    #[command(flatten)]
    pub uploads: UploadArguments,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArguments,
}

/// What is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Models")]
pub struct ModelArguments {
    /// Directory of model directories; each is served under its name.
    #[arg(long, env = "DETCON_MODELS", value_name = "DIR")]
    pub models: PathBuf,
    /// Model of the requests that name none [default: the only one, where there is one].
    #[arg(long, env = "DETCON_DEFAULT_MODEL", value_name = "NAME")]
    pub default_model: Option<String>,
}

/// Where it is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct ListenArguments {
    /// Address and port; port 0 takes a free one.
    #[arg(
        long,
        env = "DETCON_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// Longest wait for requests in flight after SIGTERM or SIGINT, in seconds.
    #[arg(
        long,
        env = "DETCON_SHUTDOWN_GRACE",
        value_name = "SECONDS",
        default_value_t = 30
    )]
    pub shutdown_grace: u64,
}

/// How models are run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// ONNX Runtime's shared library [default: beside the program, then .deps/onnxruntime/, then the system's].
    #[arg(long, env = "DETCON_ONNXRUNTIME", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Threads that one engine computes with [default: the processors this process may use].
    #[arg(long, env = "DETCON_ENGINE_THREADS", value_name = "N", value_parser = count)]
    pub engine_threads: Option<NonZeroUsize>,
    /// Images decoded and resized at the same time [default: the processors this process may use].
    #[arg(long, env = "DETCON_DECODE_THREADS", value_name = "N", value_parser = count)]
    pub decode_threads: Option<NonZeroUsize>,
    /// Most images in one engine call.
    #[arg(long, env = "DETCON_MAX_BATCH", value_name = "N", default_value = "8", value_parser = count)]
    pub max_batch: NonZeroUsize,
    /// Most images of a model from admission to answer; beyond them requests are refused with 503.
    #[arg(long, env = "DETCON_QUEUE", value_name = "N", default_value = "256", value_parser = count)]
    pub queue: NonZeroUsize,
}

/// What a request may ask for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Longest body, in bytes.
    #[arg(long, env = "DETCON_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 32 << 20)]
    pub max_body_bytes: usize,
    /// Most bytes of bodies in memory at the same time, of all requests together; beyond them requests are refused
    /// with 503. One body of the longest is always taken.
    #[arg(long, env = "DETCON_BODY_MEMORY", value_name = "BYTES", default_value_t = 512 << 20)]
    pub body_memory: usize,
    /// Most pixels of an image, read from its header before any is decoded.
    #[arg(long, env = "DETCON_MAX_PIXELS", value_name = "N", default_value_t = ImageLimits::default().pixels)]
    pub max_pixels: u64,
    /// Longest side of an image, in pixels.
    #[arg(long, env = "DETCON_MAX_SIDE", value_name = "PIXELS", default_value_t = ImageLimits::default().side)]
    pub max_side: u32,
    /// Most images in a request.
    #[arg(
        long,
        env = "DETCON_MAX_IMAGES",
        value_name = "N",
        default_value = "64",
        value_parser = count
    )]
    pub max_images: NonZeroUsize,
    /// Longest wait for a request's head, for its body, for the answer, and for the client to take some of it, in
    /// seconds.
    #[arg(
        long,
        env = "DETCON_REQUEST_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60"
    )]
    pub request_timeout: NonZeroU64,
}

impl LimitArguments {
    /// What an image may be.
    #[must_use]
    pub const fn image(&self) -> ImageLimits {
        ImageLimits {
            bytes: self.max_body_bytes,
            pixels: self.max_pixels,
            side: self.max_side,
        }
    }

    /// Longest wait for a request's head, for its body, and then for the answer.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout.get())
    }
}

/// What is logged, to standard error, and traced.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogArguments {
    /// How a line of the log is written.
    #[arg(
        long,
        env = "DETCON_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// Least severe events that are logged: error, warn, info, debug, trace, or a filter by module.
    #[arg(long, env = "DETCON_LOG", value_name = "LEVEL", default_value = "info")]
    pub log: String,
    /// Address of an OpenTelemetry collector that is sent a trace of each request, over OTLP/HTTP; /v1/traces is added
    /// to it [default: none].
    #[arg(long, env = "DETCON_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl EngineArguments {
    /// ONNX Runtime's library: the one named, or the first that is there.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        detcon_runtime::library(self.onnxruntime.as_deref())
    }

    /// Threads of an engine.
    #[must_use]
    pub fn engine_threads(&self) -> NonZeroUsize {
        self.engine_threads.unwrap_or_else(processors)
    }

    /// Images decoded at the same time.
    #[must_use]
    pub fn decode_threads(&self) -> NonZeroUsize {
        self.decode_threads.unwrap_or_else(processors)
    }
}

/// A count from the command line.
fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|count: &NonZeroUsize| count.get() <= MAX_COUNT)
        .ok_or_else(|| format!("give a number from 1 to {MAX_COUNT}"))
}

/// What affinity and the control group's quota leave to this process.
fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
