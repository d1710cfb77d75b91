//! How models are run: in which precision, with which share of the processors, and how many images at once.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, value_parser};
use detcon_inference::{Dense, Device, OpenOptions, PrecisionChoice};

use super::read::switch;
use super::{Threads, count};

/// How models are run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// ONNX Runtime's shared library [default: beside the program, then .deps/onnxruntime/, then the system's].
    #[arg(long, env = "DETCON_ONNXRUNTIME", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Where models compute: cpu, cuda, or cuda:N for the GPU of number N. CUDA needs a library of ONNX Runtime's that
    /// is built for it.
    #[arg(
        long,
        env = "DETCON_DEVICE",
        value_name = "DEVICE",
        default_value = "cpu"
    )]
    pub device: Device,
    /// Precision that embeddings are computed in; features and regions are float32's always.
    #[arg(
        long,
        env = "DETCON_PRECISION",
        value_name = "PRECISION",
        default_value = "auto"
    )]
    pub precision: PrecisionChoice,
    /// Open no graphs for dense features beside the one that embeddings are computed with: c2, c3 and c4 are refused,
    /// and c5 and regions too where embeddings are not float32's. A served ResNet-50 then takes an eighth less memory.
    #[arg(long, env = "DETCON_NO_DENSE_FEATURES", value_parser = switch)]
    pub no_dense_features: bool,
    /// Threads that engines compute with [default: the processors this process may use].
    #[arg(long, env = "DETCON_ENGINE_THREADS", value_name = "N", value_parser = count)]
    pub engine_threads: Option<NonZeroUsize>,
    /// Images decoded and resized at the same time [default: the processors this process may use].
    #[arg(long, env = "DETCON_DECODE_THREADS", value_name = "N", value_parser = count)]
    pub decode_threads: Option<NonZeroUsize>,
    /// How long engine threads without work wait for it in a loop, in microseconds; 0 never [default: 1000 where there
    /// are processors enough for engine and decoding together, else 50].
    #[arg(long, env = "DETCON_ENGINE_SPINNING", value_name = "MICROSECONDS", value_parser = value_parser!(u32).range(..=100_000))]
    pub engine_spinning: Option<u32>,
    /// Most images in one engine call.
    #[arg(long, env = "DETCON_MAX_BATCH", value_name = "N", default_value = "8", value_parser = count)]
    pub max_batch: NonZeroUsize,
    /// Most pixels in one engine call; one image always goes, of --max-input-pixels at most. No model waits for another
    /// longer than that takes [default: those of --max-batch images of the model's own size].
    #[arg(long, env = "DETCON_MAX_BATCH_PIXELS", value_name = "N")]
    pub max_batch_pixels: Option<u64>,
    /// Most images of a model from admission to answer; beyond them requests are refused with 503. Bulk requests may
    /// take three quarters of them.
    #[arg(long, env = "DETCON_QUEUE", value_name = "N", default_value = "256", value_parser = count)]
    pub queue: NonZeroUsize,
}

impl EngineArguments {
    /// ONNX Runtime's library: the one named, or the first that is there.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        detcon_inference::library(self.onnxruntime.as_deref())
    }

    /// How models are opened.
    pub(crate) const fn open(&self, threads: Threads) -> OpenOptions {
        OpenOptions {
            precision: self.precision,
            compute: threads.compute,
            dense: if self.no_dense_features {
                Dense::Main
            } else {
                Dense::All
            },
        }
    }
}
