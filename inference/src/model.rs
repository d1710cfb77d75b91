//! A model directory, opened whole, and what it computes.

use std::path::Path;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::Tensor;
use detcon_core::image::RgbImage;
use detcon_core::model::{ModelDirectory, SelfCheck};
use detcon_core::regions::{RegionError, RegionSet};
use detcon_core::segment::{SegmentError, SegmentMap};

use crate::batch::{Batch, BatchLimits, InputTensor};
use crate::compute::Compute;
use crate::engine::Engine;
use crate::error::{InferenceError, OpenError};
use crate::library::Runtime;
use crate::network::{Dense, Network};
use crate::output::Output;
use crate::precision::PrecisionChoice;
use crate::regions::{Regions, Space};
use crate::segmentation::Method;
use crate::view::View;

/// How a model is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// What embeddings are computed in.
    pub precision: PrecisionChoice,
    /// Where and with what.
    pub compute: Compute,
    /// Most dense features that graphs are opened for.
    pub dense: Dense,
}

/// A model: everything that it computes with is in memory.
#[derive(Debug)]
pub struct Model {
    network: Network,
    engine: Engine,
    self_check: SelfCheck,
}

impl Model {
    /// Opens the directory at `path` whole: digests, sessions, projector, heads. Nothing is run yet: see [`Self::check`].
    pub fn open(runtime: &Runtime, path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let OpenOptions {
            precision,
            compute,
            dense,
        } = options;
        let directory = ModelDirectory::open(path)?;
        let precision = precision.of(directory.manifest(), compute.device);
        let self_check = directory.self_check_of(precision)?;
        let (engine, dense) = Engine::open(runtime, &directory, precision, compute, dense)?;
        let network = Network::open(directory, precision, dense)?;
        // Asked after everything was opened: what was read before is of this model or of none.
        if !network.is_unchanged() {
            return Err(InferenceError::Replaced.into());
        }
        Ok(Self {
            network,
            engine,
            self_check,
        })
    }

    /// Holds the engine's embedding of the directory's self-check against the reference's.
    pub fn check(&mut self) -> Result<(), OpenError> {
        let batch = Batch {
            shape: self.self_check.shape,
            images: self.self_check.images.clone(),
        };
        let found = self.engine.run(&batch, Output::Embedding)?;
        let found: Vec<f32> = found.into_iter().flat_map(Tensor::into_values).collect();
        let compared = self.self_check.compare(&found);
        compared
            .map(drop)
            .map_err(|disagreement| OpenError::SelfCheck {
                precision: self.network.precision(Output::Embedding),
                disagreement,
            })
    }

    /// What it is.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// What it is, for all threads, and its sessions, for one.
    #[must_use]
    pub fn into_parts(self) -> (Network, Engine) {
        (self.network, self.engine)
    }

    /// An output for each of `inputs`, without its first axis, in their order.
    pub fn run(
        &mut self,
        inputs: &[InputTensor],
        output: Output,
        limits: BatchLimits,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let mut answers: Vec<Option<Tensor>> = inputs.iter().map(|_| None).collect();
        for places in limits.plan(inputs) {
            let first = &inputs[places[0]];
            let images = places.iter().map(|&place| inputs[place].pixels.as_slice());
            let batch = Batch::of([first.height, first.width], images);
            let found = self.engine.run(&batch, output)?;
            for (place, row) in places.into_iter().zip(found) {
                answers[place] = Some(row);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// The embeddings of images, as upstream evaluates: the spatial mean of c5 of the central crop, `[D]` each.
    pub fn embeddings(
        &mut self,
        images: &[RgbImage],
        limits: BatchLimits,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let view = View::evaluation(self.network.manifest().preprocess);
        let inputs: Vec<_> = images.iter().map(|image| view.input(image)).collect();
        self.run(&inputs, Output::Embedding, limits)
    }

    /// The features of a stage of what a view shows of an image, `[C, h, w]`.
    pub fn features(
        &mut self,
        image: &RgbImage,
        view: View,
        stage: Stage,
    ) -> Result<Tensor, InferenceError> {
        let input = view.input(image);
        let pixels = [input.pixels.as_slice()].into_iter();
        let batch = Batch::of([input.height, input.width], pixels);
        let mut rows = self.engine.run(&batch, Output::Features(stage))?;
        rows.pop().ok_or(InferenceError::Output {
            found: Vec::new(),
            images: 1,
        })
    }

    /// One vector for each region of an image that wins cells of a view's c5. The outer error is the engine's, the
    /// inner one says what is wrong with the regions.
    pub fn regions(
        &mut self,
        image: &RgbImage,
        set: &RegionSet,
        view: View,
        space: Space,
    ) -> Result<Result<Regions, RegionError>, InferenceError> {
        let spec = self.network.manifest().spec;
        let cells = match view.cells(image, spec).and_then(|view| set.on_grid(&view)) {
            Ok(cells) => cells,
            Err(error) => return Ok(Err(error)),
        };
        let features = self.features(image, view, Stage::C5)?;
        Ok(self.network.regions(set, &cells, &features, space))
    }

    /// The segments of an image. A method that needs features sees the whole image at the size of `view`. The outer
    /// error is the engine's, the inner one says why the method cannot be used on this image.
    pub fn segment(
        &mut self,
        image: &RgbImage,
        method: &Method,
        view: View,
    ) -> Result<Result<SegmentMap, SegmentError>, InferenceError> {
        let features = match method.stage() {
            Some(stage) => Some(self.features(image, view.full(), stage)?),
            None => None,
        };
        Ok(method.segment(image, features.as_ref()))
    }
}
