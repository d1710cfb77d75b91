//! What a model is beside its sessions, for all threads: manifest, projector, segmentation heads, costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::checkpoint::{Tensor, tensors_from_bytes};
use detcon_core::model::{HeadEntry, Manifest, ModelDirectory, ModelError, Precision, file};
use detcon_core::projector::Projector;
use detcon_core::regions::{RegionCells, RegionError, RegionSet};
use detcon_core::segment::SegmentationHead;

use crate::cost::Cost;
use crate::error::OpenError;
use crate::held::HeldFile;
use crate::output::Output;
use crate::regions::{Regions, Space};

/// Which dense features a model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dense {
    /// What the graph of the embeddings gives: c5 where that is float32's, else none.
    Main,
    /// c5 alone.
    C5,
    /// Every stage.
    All,
}

impl Dense {
    const fn gives(self, stage: Stage) -> bool {
        match (self, stage) {
            (Self::All, _) | (Self::C5, Stage::C5) => true,
            (Self::C5, Stage::C2 | Stage::C3 | Stage::C4) | (Self::Main, _) => false,
        }
    }
}

/// A segmentation head with what the manifest says of it.
type Head = (HeadEntry, Arc<SegmentationHead>);

/// A model without its sessions.
#[derive(Debug)]
pub struct Network {
    directory: ModelDirectory,
    precision: Precision,
    dense: Dense,
    projector: Option<Projector>,
    heads: BTreeMap<String, Head>,
}

impl Network {
    /// Reads the projector and the segmentation heads of a directory whose embeddings are computed in a precision, and
    /// whose open graphs give these dense features.
    pub fn open(
        directory: ModelDirectory,
        precision: Precision,
        dense: Dense,
    ) -> Result<Self, OpenError> {
        let mut heads = BTreeMap::new();
        for (name, entry) in &directory.manifest().segmentation_heads {
            if let Some(head) = directory.segmentation_head(name)? {
                heads.insert(name.to_string(), (entry.clone(), Arc::new(head)));
            }
        }
        let projector = projector(&directory)?;
        Ok(Self {
            directory,
            precision,
            dense,
            projector,
            heads,
        })
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.directory.manifest()
    }

    /// SHA-256 of its manifest.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.directory.digest()
    }

    /// Whether its directory still holds it.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.directory.is_unchanged()
    }

    /// What an output is computed in: features are float32's always.
    #[must_use]
    pub const fn precision(&self, output: Output) -> Precision {
        match output {
            Output::Embedding => self.precision,
            Output::Features(_) => Precision::Fp32,
        }
    }

    /// Whether a graph that gives an output is open.
    #[must_use]
    pub const fn gives(&self, output: Output) -> bool {
        match output {
            Output::Embedding => true,
            Output::Features(stage) => self.dense.gives(stage),
        }
    }

    /// The segmentation heads by name.
    #[must_use]
    pub const fn heads(&self) -> &BTreeMap<String, Head> {
        &self.heads
    }

    /// The projector, if the source had one.
    #[must_use]
    pub const fn projector(&self) -> Option<&Projector> {
        self.projector.as_ref()
    }

    /// What an output costs for images of this shape, `[N, H, W]`, before it is begun.
    #[must_use]
    pub fn cost(&self, output: Output, shape: [usize; 3]) -> Cost {
        Cost::of(self.manifest().spec, output, shape)
    }

    /// One vector for each region that wins cells of `features`, c5 of the view that `cells` are of: `[C, h, w]`.
    ///
    /// Without a projector there is nothing in [`Space::Projection`]: ask for [`Self::projector`] first.
    pub fn regions(
        &self,
        set: &RegionSet,
        cells: &RegionCells,
        features: &Tensor,
        space: Space,
    ) -> Result<Regions, RegionError> {
        let projector = match space {
            Space::Backbone => None,
            Space::Projection => self.projector(),
        };
        Regions::pool(set, cells, features, projector)
    }
}

/// Heads without a projector, or with one that does not fit, are a model without a projection space.
fn projector(directory: &ModelDirectory) -> Result<Option<Projector>, OpenError> {
    if directory.heads().is_none() {
        return Ok(None);
    }
    let bytes = HeldFile::open(directory, file::HEADS)?.read()?;
    let tensors = tensors_from_bytes(&bytes).map_err(|error| ModelError::Damaged {
        name: file::HEADS.to_owned(),
        what: error.to_string(),
    })?;
    Ok(Projector::from_heads(&tensors, directory.manifest().embedding_size).ok())
}
