//! `detcon-convert import`.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use detcon_converter::haiku::Network;
use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_converter::quantized_import::import_quantized;
use detcon_core::checkpoint::MovingAverages;
use detcon_core::files::Existing;

use super::fetching::FetchArguments;
use super::network::NetworkArguments;
use super::output::{ModelDirectoryArguments, print, tell};
use super::quantization::{PrecisionArgument, QuantizationArguments, warn};
use super::verify::RuntimeArguments;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/import.txt"))]
pub(crate) struct Arguments {
    /// Checkpoint: a file, an https:// or gs:// address, or a short name such as detcon:resnet50-imagenet.
    input: Location,
    #[command(flatten)]
    output: ModelDirectoryArguments,
    /// SPDX identifier of the weights' licence, for the manifest.
    #[arg(long)]
    license: Option<String>,
    /// Which network to take where the checkpoint has two.
    #[arg(long, value_enum, default_value_t = NetworkArgument::Online)]
    network: NetworkArgument,
    /// Where a checkpoint holds parameters only, start the moving averages at mean 0 and variance 1.
    #[arg(long)]
    fresh_moving_averages: bool,
    /// For files of tensors by dotted names: which network to take, by its place as inspect shows it.
    #[arg(long, value_name = "PREFIX")]
    strip_prefix: Option<String>,
    #[command(flatten)]
    network_parts: NetworkArguments,
    /// Lower precisions to add graphs of, with what they lose measured on photographs: fp16, int8 or both.
    #[arg(long, value_enum, value_delimiter = ',')]
    precision: Vec<PrecisionArgument>,
    #[command(flatten)]
    quantization: QuantizationArguments,
    #[command(flatten)]
    runtime: RuntimeArguments,
    #[command(flatten)]
    fetch: FetchArguments,
}

/// The two networks of an experiment, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum NetworkArgument {
    /// The network that is trained by gradients, which the published checkpoints hold.
    Online,
    /// Its moving average.
    Target,
}

impl From<NetworkArgument> for Network {
    fn from(argument: NetworkArgument) -> Self {
        match argument {
            NetworkArgument::Online => Self::Online,
            NetworkArgument::Target => Self::Target,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = ImportOptions {
        existing: arguments.output.existing(),
        license: arguments.license.clone(),
        network: arguments.network.into(),
        averages: if arguments.fresh_moving_averages {
            MovingAverages::Fresh
        } else {
            MovingAverages::Required
        },
        strip_prefix: arguments.strip_prefix.clone(),
        stated: arguments.network_parts.stated(),
        origin: None,
        fetch: arguments.fetch.options(),
    };
    // Replaces nothing: the model is new, and naming a precision twice makes it once more.
    let mut precisions = Vec::new();
    for &precision in &arguments.precision {
        precisions.push(arguments.quantization.options(precision, Existing::Replace));
    }
    let (source, place) = (&arguments.input, &arguments.output.place);
    let not_imported = || format!("{source} was not imported");
    let (imported, quantized) = if precisions.is_empty() {
        (
            import(source, place, &options).with_context(not_imported)?,
            Vec::new(),
        )
    } else {
        let library = &arguments.runtime.onnxruntime;
        import_quantized(source, place, &options, &precisions, library)
            .with_context(not_imported)?
    };
    print(&format!("{}: {imported}\n", place.display()))?;
    imported.remarks().iter().for_each(|remark| tell(remark));
    for quantized in &quantized {
        warn(quantized);
        print(&format!("{}: {quantized}\n", place.display()))?;
    }
    Ok(())
}
