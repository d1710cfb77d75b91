//! A model directory's backbone on libtorch, to be judged or built upon and not to be changed.

use std::fs;
use std::path::Path;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::{Checkpoint, FileError};
use detcon_core::image::RgbImage;
use detcon_core::model::{ModelDirectory, ModelError, file};
use tch::{Device, Kind, Tensor, no_grad};

use crate::network::{HeadSpec, Mode, Network, NetworkError, Predictor};
use crate::tensor::axis;

/// The backbone is all that is used.
const HEADS: HeadSpec = HeadSpec {
    hidden: 1,
    projection: 1,
    classes: 1,
    predictor: Predictor::Absent,
};

/// Why a model directory has no backbone to use.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// The directory is no whole model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights cannot be read.
    #[error("{}: {source}", file::BACKBONE)]
    Read {
        /// What the system said.
        #[from]
        source: std::io::Error,
    },
    /// They are not the backbone's.
    #[error("{}: {source}", file::BACKBONE)]
    Weights {
        /// What is wrong.
        #[from]
        source: FileError,
    },
    /// They are another network's.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// A model whose weights stay as they are.
#[derive(Debug)]
pub struct FrozenModel {
    directory: ModelDirectory,
    network: Network,
    device: Device,
}

impl FrozenModel {
    /// Reads a model directory.
    pub fn open(place: &Path, device: Device) -> Result<Self, FrozenError> {
        let directory = ModelDirectory::open(place)?;
        let spec = directory.manifest().spec;
        let weights = fs::read(place.join(file::BACKBONE))?;
        let mut network = Network::new(spec, HEADS, 0, device);
        network.load_backbone(&Checkpoint::from_bytes(spec, &weights)?)?;
        Ok(Self {
            directory,
            network,
            device,
        })
    }

    /// What it was read from.
    #[must_use]
    pub const fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// Where it computes.
    #[must_use]
    pub const fn device(&self) -> Device {
        self.device
    }

    /// A stage's features of preprocessed images of one size: float32 `[N, C, h, w]` on the device.
    pub fn features(&mut self, images: &[&RgbImage], stage: Stage) -> Tensor {
        let (height, width) = images
            .first()
            .map_or((0, 0), |first| (first.height(), first.width()));
        let pixels: Vec<u8> = images.iter().flat_map(|it| it.pixels()).copied().collect();
        let [height, width] = [height, width].map(|side| axis(side as usize));
        no_grad(|| {
            let pixels = Tensor::from_slice(&pixels).view([-1, height, width, 3]);
            let pixels = pixels.to_device(self.device).permute([0, 3, 1, 2]);
            let pixels = (pixels.to_kind(Kind::Float) / 255.0).contiguous();
            let spec = self.network.spec();
            self.network
                .pass(Mode::Evaluate)
                .stage(spec, &pixels, stage)
        })
    }
}
