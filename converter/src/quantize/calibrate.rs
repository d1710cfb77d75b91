//! What the float32 graph computes on the calibration photographs, and the integers that follow from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::onnx::encode;
use crate::onnx::proto::GraphProto;
use crate::onnx::qdq::{self, Quantization};
use crate::progress::counting;
use detcon_inference::{Graph, Runtime};

use super::QuantizeError;
use super::histogram::{Extent, Histogram};
use super::photographs::Photograph;
use super::range::{Method, Range};
use super::weights::{self, FloatConv};

/// Statistics of the float32 graph.
pub(super) struct Observed {
    /// Of each value whose range is needed.
    histograms: BTreeMap<String, Histogram>,
    /// Mean of each output channel of each convolution.
    pub(super) means: BTreeMap<String, Vec<f64>>,
}

/// What is calibrated, and on what.
pub(super) struct Calibration<'a> {
    pub(super) runtime: &'a Runtime,
    /// The float32 graph.
    pub(super) graph: GraphProto,
    /// Its convolutions, in order of computation.
    pub(super) convs: Vec<FloatConv>,
    pub(super) photographs: &'a [Photograph],
}

/// Runs the float32 graph on every photograph, twice: a histogram needs to know its ends.
pub(super) fn observe(calibration: &Calibration<'_>) -> Result<Observed, QuantizeError> {
    let Calibration {
        runtime,
        graph,
        convs,
        photographs,
    } = calibration;
    let sources = range_sources(graph);
    let mut names = sources.clone();
    let conv_names = convs.iter().map(|conv| &conv.name);
    names.extend(conv_names.filter(|name| !sources.contains(*name)).cloned());
    let mut session = Graph::from_bytes(runtime, &encode(graph.with_outputs(&names))?)?;

    let bar = counting("calibrating", 2 * photographs.len());
    let mut extents = vec![Extent::EMPTY; sources.len()];
    let mut means = Means::new(convs);
    for photograph in *photographs {
        let values = run(&mut session, photograph, &names)?;
        extents
            .iter_mut()
            .zip(&values)
            .for_each(|(it, v)| it.add(v));
        means.add(names.iter().zip(&values));
        bar.advance();
    }
    if let Some(at) = extents.iter().position(|extent| !extent.is_finite()) {
        let value = sources[at].clone();
        return Err(QuantizeError::NotFinite { value });
    }
    let mut histograms: Vec<_> = extents.into_iter().map(Histogram::new).collect();
    for photograph in *photographs {
        let values = run(&mut session, photograph, &sources)?;
        histograms
            .iter_mut()
            .zip(&values)
            .for_each(|(it, v)| it.add(v));
        bar.advance();
    }
    Ok(Observed {
        histograms: sources.into_iter().zip(histograms).collect(),
        means: means.finish(),
    })
}

/// The values whose ranges are needed, each once.
fn range_sources(graph: &GraphProto) -> Vec<String> {
    let values = qdq::values(graph);
    let sources = values.iter().map(|value| qdq::range_source(graph, value));
    let sources: BTreeSet<&str> = sources.collect();
    sources.into_iter().map(str::to_owned).collect()
}

/// Scales of values and rounded weights.
pub(super) fn quantization(
    calibration: &Calibration<'_>,
    observed: &Observed,
    method: Method,
) -> Quantization {
    let Calibration { graph, convs, .. } = calibration;
    let mut quantization = Quantization::default();
    for value in qdq::values(graph) {
        let histogram = &observed.histograms[qdq::range_source(graph, &value)];
        let affine = Range::estimate(method, histogram).to_affine();
        quantization.values.insert(value, affine);
    }
    for conv in convs {
        let scale = quantization.values[&input(graph, conv)].scale;
        let rounded = weights::round(conv, scale);
        quantization.convs.insert(conv.name.clone(), rounded);
    }
    quantization
}

fn input(graph: &GraphProto, conv: &FloatConv) -> String {
    let node = graph.producer(&conv.name);
    node.expect("a convolution of the graph").input[0].clone()
}

/// Values of the graph for one photograph.
pub(super) fn run(
    session: &mut Graph,
    photograph: &Photograph,
    names: &[String],
) -> Result<Vec<Vec<f32>>, QuantizeError> {
    let shape = [1, photograph.side, photograph.side, 3];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(session.run(&photograph.pixels, shape, &names)?)
}

/// Running means over the channels of convolutions' outputs, `[1, C, h, w]` at a time.
pub(super) struct Means(BTreeMap<String, (Vec<f64>, usize)>);

impl Means {
    pub(super) fn new<'a>(convs: impl IntoIterator<Item = &'a FloatConv>) -> Self {
        let empty = |conv: &FloatConv| (conv.name.clone(), (vec![0.0; conv.shape[0]], 0));
        Self(convs.into_iter().map(empty).collect())
    }

    /// Adds what one photograph gave; values that are no convolution's are passed over.
    pub(super) fn add<'a>(&mut self, values: impl Iterator<Item = (&'a String, &'a Vec<f32>)>) {
        for (name, values) in values {
            if let Some((sums, count)) = self.0.get_mut(name) {
                let area = values.len() / sums.len();
                for (sum, plane) in sums.iter_mut().zip(values.chunks_exact(area)) {
                    *sum += plane.iter().copied().map(f64::from).sum::<f64>();
                }
                *count += area;
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "no calibration sees 2^52 values"
    )]
    pub(super) fn finish(self) -> BTreeMap<String, Vec<f64>> {
        let mean = |(sums, count): (Vec<f64>, usize)| {
            sums.into_iter().map(|sum| sum / count as f64).collect()
        };
        let means = self.0.into_iter();
        means.map(|(name, sums)| (name, mean(sums))).collect()
    }
}
