//! What the command line and the environment say. Every flag is also a variable `DETCON_…`.

mod engine;
mod protect;
mod read;
mod store;
mod threads;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use detcon_core::image::ImageLimits;

use crate::engine::{CostLimits, Memory};
use crate::http::Limits;
use crate::http::body::READING;
use crate::http::image_fetch::Fetcher;
use crate::observe::telemetry::{LogFormat, LogSettings};

pub use engine::EngineArguments;
pub use protect::ProtectArguments;
pub(crate) use read::listen;
pub use read::without_empty_variables;
use read::{DAY, MAX_COUNT, bytes, count, filter, seconds, whole_seconds};
pub use store::UploadArguments;
pub(crate) use threads::Threads;

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

impl Config {
    /// What a request may hold.
    pub(crate) fn body_limits(&self) -> Limits {
        let (limits, protect) = (&self.limits, &self.protect);
        Limits {
            bytes: limits.max_body_bytes,
            images: limits.max_images.get(),
            timeout: limits.timeout(),
            memory: Memory::new(
                limits
                    .body_memory
                    .max(limits.max_body_bytes as u64 * READING),
            ),
            fetcher: Fetcher::new(protect.allow_url.clone(), protect.allow_private_addresses),
        }
    }
}

/// What is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Models")]
pub struct ModelArguments {
    /// Directory of model directories, each served under its name; or a store of them: `s3://BUCKET/PREFIX`, `gs://…`
    /// or `az://…`, with credentials from the environment as that store's own tools read them.
    #[arg(long, env = "DETCON_MODELS", value_name = "DIR")]
    pub models: PathBuf,
    /// Where models of a store elsewhere are kept; they are served from there.
    #[arg(
        long,
        env = "DETCON_CACHE",
        value_name = "DIR",
        default_value = "cache"
    )]
    pub cache: PathBuf,
    /// Model of the requests that name none [default: the only one, where there is one].
    #[arg(long, env = "DETCON_DEFAULT_MODEL", value_name = "NAME")]
    pub default_model: Option<String>,
    /// How often --models is looked at for models that came, changed or went, in seconds; 0 for never. What has changed
    /// is loaded when it has stayed as it is for as long.
    #[arg(
        long,
        env = "DETCON_WATCH",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = seconds
    )]
    pub watch: Duration,
}

/// Where it is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct ListenArguments {
    /// Address and port, `:PORT` for every address; port 0 takes a free one.
    #[arg(
        long,
        env = "DETCON_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = listen
    )]
    pub listen: SocketAddr,
    /// Most connections at the same time; others wait, and those that have no request make room for them [default: half
    /// of the files that this process may open].
    #[arg(long, env = "DETCON_MAX_CONNECTIONS", value_name = "N", value_parser = count)]
    pub max_connections: Option<NonZeroUsize>,
    /// How long a connection waits for its next request, in seconds. A load balancer that keeps connections longer than
    /// the server sends requests into closed ones: nginx and most others keep them 60 s, Google Cloud's 600 s.
    #[arg(
        long,
        env = "DETCON_KEEP_ALIVE",
        value_name = "SECONDS",
        default_value = "90",
        value_parser = seconds
    )]
    pub keep_alive: Duration,
    /// Longest wait for requests in flight after SIGTERM or SIGINT, in seconds.
    #[arg(
        long,
        env = "DETCON_SHUTDOWN_GRACE",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = value_parser!(u64).range(..=DAY)
    )]
    pub shutdown_grace: u64,
    /// How long /readyz says no before the server takes no more connections, after SIGTERM or SIGINT, in seconds: for
    /// as long as a load balancer needs to notice.
    #[arg(
        long,
        env = "DETCON_SHUTDOWN_DELAY",
        value_name = "SECONDS",
        default_value = "1",
        value_parser = seconds
    )]
    pub shutdown_delay: Duration,
}

impl ListenArguments {
    /// Most connections at the same time.
    pub(crate) fn connections(&self) -> usize {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = files.and_then(|files| usize::try_from(files / 2).ok());
        let half = half.unwrap_or(MAX_COUNT).clamp(1, MAX_COUNT);
        self.max_connections.map_or(half, NonZeroUsize::get)
    }
}

/// What a request may ask for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Longest body, in bytes.
    #[arg(long, env = "DETCON_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 32 << 20, value_parser = bytes)]
    pub max_body_bytes: usize,
    /// Most bytes of bodies, and of what is read out of them, in memory at the same time, of all requests together;
    /// beyond them requests are refused with 503. One body of the longest is always taken.
    #[arg(long, env = "DETCON_BODY_MEMORY", value_name = "BYTES", default_value_t = 512 << 20)]
    pub body_memory: u64,
    /// Most pixels of one input of the network, as a view and a size make it of an image.
    #[arg(long, env = "DETCON_MAX_INPUT_PIXELS", value_name = "N", default_value_t = 1 << 21)]
    pub max_input_pixels: u64,
    /// Longest answer, in bytes.
    #[arg(long, env = "DETCON_MAX_ANSWER_BYTES", value_name = "BYTES", default_value_t = 256 << 20)]
    pub max_answer_bytes: u64,
    /// Most bytes of images, the network's inputs and answers in memory at the same time, of all requests together;
    /// beyond them requests are refused with 503, and with 413 where one takes more than all. Embeddings at a model's
    /// own size are not counted: --queue bounds them.
    #[arg(long, env = "DETCON_WORK_MEMORY", value_name = "BYTES", default_value_t = 2 << 30)]
    pub work_memory: u64,
    /// Most bytes that felzenszwalb takes for all requests together; they wait for one another, and an image that takes
    /// more is refused with 413.
    #[arg(long, env = "DETCON_SEGMENTATION_MEMORY", value_name = "BYTES", default_value_t = 3 << 30)]
    pub segmentation_memory: u64,
    /// Most bytes that decoders take for all requests together; they wait for one another, and an image that takes more
    /// is refused with 413. It is at most 24 bytes a pixel of TIFF, 16 of JPEG, 12 of others.
    #[arg(long, env = "DETCON_DECODE_MEMORY", value_name = "BYTES", default_value_t = 2 << 30)]
    pub decode_memory: u64,
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
        default_value = "60",
        value_parser = whole_seconds
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

    /// What the work on a request may cost.
    pub(crate) fn costs(&self) -> CostLimits {
        CostLimits {
            input_pixels: self.max_input_pixels,
            answer_bytes: self.max_answer_bytes,
            memory: Memory::new(self.work_memory),
            segmentation: Memory::new(self.segmentation_memory),
            decoding: Memory::new(self.decode_memory),
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
    #[arg(long, env = "DETCON_LOG", value_name = "LEVEL", default_value = "info", value_parser = filter)]
    pub log: String,
    /// Address of an OpenTelemetry collector that is sent a trace of each request, over OTLP/HTTP; /v1/traces is added
    /// to it [default: none].
    #[arg(long, env = "DETCON_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

impl LogArguments {
    /// What is logged, and traced.
    #[must_use]
    pub fn settings(&self) -> LogSettings<'_> {
        LogSettings {
            format: self.log_format,
            filter: &self.log,
            collector: self.otlp_endpoint.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn no_number_on_the_command_line_is_too_large_for_a_clock_or_for_sums() {
        let largest = u64::MAX.to_string();
        for flag in [
            "--request-timeout",
            "--shutdown-grace",
            "--shutdown-delay",
            "--keep-alive",
            "--watch",
            "--max-body-bytes",
            "--max-images",
            "--max-connections",
            "--max-batch",
            "--queue",
        ] {
            let arguments = ["program", "--models", "models", flag, &largest];
            let refused = Program::try_parse_from(arguments).unwrap_err().to_string();
            assert!(refused.contains(flag), "{refused}");
        }
        for flag in [
            "--body-memory",
            "--max-input-pixels",
            "--max-answer-bytes",
            "--work-memory",
            "--segmentation-memory",
            "--decode-memory",
            "--max-batch-pixels",
            "--max-pixels",
        ] {
            let arguments = ["program", "--models", "models", flag, &largest];
            let config = Program::try_parse_from(arguments).unwrap().config;
            assert!(config.body_limits().memory.bytes() > 0);
            assert!(config.limits.costs().memory.bytes() > 0);
            assert!(config.listen.connections() > 0);
        }
    }
}
