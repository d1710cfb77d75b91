//! The flags that the commands share.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use detcon_data::share::ShareArguments;
use detcon_extractor::output::Format;
use detcon_extractor::work::{Float, Pixels};
use detcon_inference::{Device, Part, PrecisionChoice};

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    pub(super) input: InputFlags,
    #[command(flatten)]
    pub(super) output: OutputFlags,
    #[command(flatten)]
    pub(super) model: ModelFlags,
    #[command(flatten)]
    pub(super) machine: MachineFlags,
}

/// What is read.
#[derive(Args)]
pub(super) struct InputFlags {
    /// A folder, a pattern, a list of paths (.txt), a table (.csv, .parquet), tar shards or TFRecord shards; on this machine
    /// or, by its address, in S3, Google Cloud Storage or Azure (s3:, gs:, az:).
    pub(super) input: String,
    /// Column of the images: their paths, or in Parquet also their bytes, or {bytes, path} [default: path; in Parquet image,
    /// or else path].
    #[arg(long, value_name = "NAME")]
    pub(super) column: Option<String>,
    /// Column of ids [default: paths are ids].
    #[arg(long, value_name = "NAME")]
    pub(super) id_column: Option<String>,
    /// Column of labels [default: none].
    #[arg(long, value_name = "NAME")]
    pub(super) label_column: Option<String>,
    /// Which pixels of a file are seen: as it is shown (EXIF orientation applied, as the server does) or as it is stored (as
    /// training does) [default: shown; where masks are given, which are of stored pixels, stored].
    #[arg(long, value_enum)]
    pub(super) pixels: Option<PixelsFlag>,
    /// Images that cannot be used before the run ends; each is listed in errors-….jsonl [default: any number].
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub(super) max_errors: u64,
}

/// Where parts go.
#[derive(Args)]
pub(super) struct OutputFlags {
    /// Folder, or prefix in a bucket, for the parts. Those that are there stay.
    pub(super) output: String,
    /// Parts of the whole input [default: of a tar or TFRecord shard one, else one for 4096 images, 1024 with regions, or 256
    /// feature maps].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub(super) parts: Option<u32>,
    #[command(flatten)]
    pub(super) share: ShareArguments,
    /// Vectors in the Parquet files, or in arrays of NumPy's beside them.
    #[arg(long, value_enum, default_value = "parquet")]
    pub(super) format: FormatFlag,
    /// Type of the numbers [default: float32, of features float16].
    #[arg(long, value_enum)]
    pub(super) dtype: Option<FloatFlag>,
    /// Answer Prometheus at this address, path /metrics, meanwhile.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics: Option<SocketAddr>,
}

/// What it is computed with, and what of an image is seen.
#[derive(Args)]
pub(super) struct ModelFlags {
    /// The model's directory.
    #[arg(long, value_name = "STORE/NAME")]
    pub(super) model: PathBuf,
    /// Part of an image that the network sees: center (upstream's evaluation crop) or full.
    #[arg(long, default_value = "center")]
    pub(super) view: Part,
    /// Pixels of the shorter side of what it sees [default: the model's own].
    #[arg(long, value_name = "N")]
    pub(super) size: Option<u32>,
    /// Precision that embeddings are computed in; features and regions are float32's always.
    #[arg(long, env = "DETCON_PRECISION", default_value = "auto")]
    pub(super) precision: PrecisionChoice,
    /// Where models compute: cpu, cuda:N for the GPU of number N, or several with commas, each with an engine of its own.
    #[arg(
        long,
        env = "DETCON_DEVICE",
        default_value = "cpu",
        value_delimiter = ','
    )]
    pub(super) device: Vec<Device>,
    /// ONNX Runtime's shared library [default: the one beside the program, the one that `make` fetched, or the system's].
    #[arg(long, env = "DETCON_ONNXRUNTIME", value_name = "FILE")]
    pub(super) onnxruntime: Option<PathBuf>,
}

/// How the machine is shared.
#[derive(Args)]
pub(super) struct MachineFlags {
    /// Threads that an engine computes with [default: the processors this process may use].
    #[arg(long, env = "DETCON_ENGINE_THREADS", value_name = "N")]
    pub(super) engine_threads: Option<NonZeroUsize>,
    /// Images decoded and segmented at the same time [default: the processors this process may use].
    #[arg(long, env = "DETCON_DECODE_THREADS", value_name = "N")]
    pub(super) decode_threads: Option<NonZeroUsize>,
    /// Images in files of their own that are read at the same time [default: 4; from buckets 32].
    #[arg(long, value_name = "N")]
    pub(super) read_threads: Option<NonZeroUsize>,
    /// Most images in one engine call.
    #[arg(long, env = "DETCON_MAX_BATCH", value_name = "N", default_value = "8")]
    pub(super) max_batch: NonZeroUsize,
    /// Most pixels of one input of the network, as a view and a size make it of an image.
    #[arg(long, env = "DETCON_MAX_INPUT_PIXELS", value_name = "N", default_value_t = 1 << 21)]
    pub(super) max_input_pixels: u64,
    /// Bytes of memory for images, the network's inputs and answers under way, beside what the model itself takes.
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20)]
    pub(super) memory: u64,
}

/// Pixels, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum PixelsFlag {
    /// As a viewer shows them.
    Shown,
    /// As the file stores them.
    Stored,
}

impl From<PixelsFlag> for Pixels {
    fn from(flag: PixelsFlag) -> Self {
        match flag {
            PixelsFlag::Shown => Self::Shown,
            PixelsFlag::Stored => Self::Stored,
        }
    }
}

/// Formats, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum FormatFlag {
    /// Parquet.
    Parquet,
    /// Arrays of NumPy's.
    Npy,
}

impl From<FormatFlag> for Format {
    fn from(flag: FormatFlag) -> Self {
        match flag {
            FormatFlag::Parquet => Self::Parquet,
            FormatFlag::Npy => Self::Npy,
        }
    }
}

/// Types of numbers, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum FloatFlag {
    /// 32 bits.
    Float32,
    /// 16 bits.
    Float16,
}

impl From<FloatFlag> for Float {
    fn from(flag: FloatFlag) -> Self {
        match flag {
            FloatFlag::Float32 => Self::Single,
            FloatFlag::Float16 => Self::Half,
        }
    }
}
