//! Lower precisions of a model: int8 with ranges calibrated on photographs, and fp16. What the result is worth is
//! measured on photographs that it was not calibrated on, and stands in the manifest.

mod bias;
mod calibrate;
mod error;
mod histogram;
mod photographs;
mod quality;
mod range;
mod weights;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::Checkpoint;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, ModelError, ModelUpdate, Precision, Quality, file};
use detcon_inference::{Graph, Runtime};

use crate::onnx::half::halved;
use crate::onnx::lean::lean;
use crate::onnx::proto::GraphProto;
use crate::onnx::{encode, network, qdq};

pub use error::QuantizeError;
pub use photographs::SetAside;
pub use range::Method;

use calibrate::Calibration;
use photographs::{Folder, Photograph};

/// With fewer photographs on either side the figures say little about others.
const FEW: usize = 16;
/// How much further than its own graph's answer an engine's may lie from the self-check's, whose processor may
/// round otherwise.
const SELF_CHECK_SLACK: f32 = 2.0;

/// What to make of the float32 graph.
#[derive(Clone, Debug)]
pub enum Target {
    /// 8-bit integers.
    Int8 {
        /// Folder of photographs that ranges are estimated on.
        calibrate: PathBuf,
        /// How they are estimated.
        method: Method,
        /// Folder to measure on; without one, a quarter of the calibration photographs is held out.
        held_out: Option<PathBuf>,
    },
    /// 16-bit floats.
    Fp16 {
        /// Folder of photographs to measure on.
        held_out: PathBuf,
    },
}

impl Target {
    const fn precision(&self) -> Precision {
        match self {
            Self::Int8 { .. } => Precision::Int8,
            Self::Fp16 { .. } => Precision::Fp16,
        }
    }

    const fn method(&self) -> &'static str {
        match self {
            Self::Int8 { method, .. } => method.name(),
            Self::Fp16 { .. } => "cast",
        }
    }
}

/// How to quantize.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// What to make.
    pub target: Target,
    /// Most photographs that are taken of a folder.
    pub most: usize,
    /// Whether a graph of that precision may be replaced.
    pub existing: Existing,
}

/// What was made.
#[derive(Debug)]
pub struct Quantized {
    /// The precision of the graph.
    pub precision: Precision,
    /// What was measured of it.
    pub quality: Quality,
    /// Files that are no photographs.
    pub set_aside: Vec<SetAside>,
}

impl Quantized {
    /// What to do for figures that say more; none where there were photographs enough.
    #[must_use]
    pub fn too_few(&self) -> Option<String> {
        let (calibrated, measured) = (self.quality.calibrated_on, self.quality.measured_on);
        let (few, made) = match self.precision {
            Precision::Int8 => (
                calibrated.min(measured) < FEW,
                format!("calibrated on {calibrated} and measured on {measured}"),
            ),
            Precision::Fp32 | Precision::Fp16 => {
                (measured < FEW, format!("measured on {measured}"))
            }
        };
        few.then(|| {
            format!("{made} photographs, which says little about others: give {FEW} or more")
        })
    }
}

impl fmt::Display for Quantized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quality {
            measured_on,
            centred_cosine: cosine,
            relative_l2_error: error,
            ..
        } = &self.quality;
        write!(
            f,
            "{} on {measured_on} photographs it was not calibrated on: centred cosine to fp32 {:.4} (worst {:.4}), \
             relative L2 error {:.4} (worst {:.4})",
            self.precision, cosine.mean, cosine.worst, error.mean, error.worst
        )
    }
}

/// Photographs on their side of the split.
struct Split {
    calibration: Vec<Photograph>,
    held_out: Vec<Photograph>,
    set_aside: Vec<SetAside>,
}

/// Adds a graph of lower precision to the model at `place`, with the ONNX Runtime at `library`.
pub fn quantize(
    place: &Path,
    library: &Path,
    options: &QuantizeOptions,
) -> Result<Quantized, QuantizeError> {
    let precision = options.target.precision();
    let model = ModelDirectory::open(place)?;
    if options.existing == Existing::Keep && model.graph(precision).is_some() {
        return Err(QuantizeError::Exists {
            place: place.to_owned(),
            precision,
        });
    }
    let update = ModelUpdate::new(&model)?;
    let photographs = split(&model, options)?;
    let graph = network(&checkpoint(&model)?);
    let runtime = Runtime::load(library)?;
    let rewritten = match &options.target {
        Target::Int8 { method, .. } => integers(&runtime, &graph, &photographs, *method)?,
        Target::Fp16 { .. } => halved(&graph)?,
    };
    let (exact, rewritten) = (encode(graph)?, encode(rewritten)?);
    let graphs = [
        Graph::from_bytes(&runtime, &exact)?,
        Graph::from_bytes(&runtime, &rewritten)?,
    ];
    let quality = measure(&model, graphs, &photographs, options.target.method())?;
    update.add_graph(precision, &rewritten, quality.clone())?;
    Ok(Quantized {
        precision,
        quality,
        set_aside: photographs.set_aside,
    })
}

fn split(model: &ModelDirectory, options: &QuantizeOptions) -> Result<Split, QuantizeError> {
    let read = |folder: &Path| Folder::read(folder, model.manifest().preprocess, options.most);
    match &options.target {
        Target::Int8 {
            calibrate,
            held_out,
            ..
        } => {
            let mut folder = read(calibrate)?;
            let held_out = match held_out {
                Some(held_out) => {
                    let held_out = read(held_out)?;
                    folder.set_aside.extend(held_out.set_aside);
                    held_out.photographs
                }
                None => folder.hold_out(calibrate)?,
            };
            Ok(Split {
                calibration: folder.photographs,
                held_out,
                set_aside: folder.set_aside,
            })
        }
        Target::Fp16 { held_out } => {
            let folder = read(held_out)?;
            Ok(Split {
                calibration: Vec::new(),
                held_out: folder.photographs,
                set_aside: folder.set_aside,
            })
        }
    }
}

fn checkpoint(model: &ModelDirectory) -> Result<Checkpoint, QuantizeError> {
    let path = model.path().join(file::BACKBONE);
    let bytes = fs::read(&path).map_err(|source| ModelError::Io { path, source })?;
    Ok(Checkpoint::from_bytes(model.manifest().spec, &bytes)?)
}

fn integers(
    runtime: &Runtime,
    graph: &GraphProto,
    photographs: &Split,
    method: Method,
) -> Result<GraphProto, QuantizeError> {
    let graph = lean(graph.clone());
    let calibration = Calibration {
        runtime,
        convs: weights::convs(&graph),
        graph,
        photographs: &photographs.calibration,
    };
    let observed = calibrate::observe(&calibration)?;
    let mut quantization = calibrate::quantization(&calibration, &observed, method);
    bias::correct(&calibration, &observed, &mut quantization)?;
    Ok(qdq::quantized(&calibration.graph, &quantization))
}

fn measure(
    model: &ModelDirectory,
    graphs: [Graph; 2],
    photographs: &Split,
    method: &str,
) -> Result<Quality, QuantizeError> {
    let [mut exact, mut rewritten] = graphs;
    let expected = quality::embeddings(&mut exact, &photographs.held_out)?;
    let shared = quality::embeddings(&mut exact, &photographs.calibration)?;
    let found = quality::embeddings(&mut rewritten, &photographs.held_out)?;
    let centre = quality::centre(shared.iter().chain(&expected));
    let (centred_cosine, relative_l2_error) = quality::compare(&found, &expected, &centre);
    let mut check = model.self_check()?;
    check.tolerance = f32::INFINITY;
    let answer = rewritten.run(&check.images, check.shape, &["embedding"])?;
    let error = check.compare(&answer[0])?;
    Ok(Quality {
        method: method.to_owned(),
        calibrated_on: photographs.calibration.len(),
        measured_on: photographs.held_out.len(),
        centred_cosine,
        relative_l2_error,
        self_check_tolerance: error * SELF_CHECK_SLACK,
    })
}
