//! How models are run: in which precision, with which share of the processors, and how many images at once.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use detcon_core::model::{Manifest, Precision};

use super::count;
use crate::engine::Device;

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
    /// Most images of a model from admission to answer; beyond them requests are refused with 503. Bulk requests may
    /// take three quarters of them.
    #[arg(long, env = "DETCON_QUEUE", value_name = "N", default_value = "256", value_parser = count)]
    pub queue: NonZeroUsize,
}

/// Which of a model's precisions embeddings are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// int8 on processors that multiply bytes exactly, where the model has it with its quality measured, else fp32.
    Auto,
    /// 32-bit floats.
    Fp32,
    /// 8-bit integers; models without such a graph are refused.
    Int8,
    /// 16-bit floats; models without such a graph are refused.
    Fp16,
}

impl PrecisionChoice {
    /// The precision of a model on a device.
    #[must_use]
    pub fn of(self, manifest: &Manifest, device: Device) -> Precision {
        match self {
            Self::Fp32 => Precision::Fp32,
            Self::Int8 => Precision::Int8,
            Self::Fp16 => Precision::Fp16,
            Self::Auto => {
                let measured = manifest.precisions.contains(&Precision::Int8)
                    && manifest.quality.contains_key(&Precision::Int8);
                if measured && device == Device::Cpu && multiplies_bytes_exactly() {
                    Precision::Int8
                } else {
                    Precision::Fp32
                }
            }
        }
    }
}

/// Whether the processor sums products of bytes in 32 bits. x86 without VNNI sums pairs of them in 16 bits, which
/// saturate: int8 is then slower and not what was measured.
#[cfg(target_arch = "x86_64")]
fn multiplies_bytes_exactly() -> bool {
    std::arch::is_x86_feature_detected!("avx512vnni")
        || std::arch::is_x86_feature_detected!("avxvnni")
}

/// As above; here by the instructions SDOT and UDOT.
#[cfg(target_arch = "aarch64")]
fn multiplies_bytes_exactly() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// As above; nothing is known of other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn multiplies_bytes_exactly() -> bool {
    false
}

impl EngineArguments {
    /// ONNX Runtime's library: the one named, or the first that is there.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        detcon_runtime::library(self.onnxruntime.as_deref())
    }
}
