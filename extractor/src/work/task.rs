//! What is computed of every image, and what one takes before it is begun.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use detcon_core::arch::Stage;
use detcon_core::image::{self, ImageLimits, RgbImage};
use detcon_inference::{Network, Output, Space, View};

use super::{About, Ask, Float, Next, Regions, Value};
use crate::input::{Found, Given};

/// Bytes of a pixel of a decoded image or of a network's input.
const PIXEL: u64 = 3;
/// Bytes of a pixel while it is decoded, at most for all but rare files (see [`ImageLimits`]).
const DECODING: u64 = 11;
/// What else an image has in memory: names, places in queues.
const OVERHEAD: u64 = 4096;

/// What is computed of an image.
#[derive(Clone, Debug)]
pub enum Product {
    /// Its embedding.
    Embeddings,
    /// A vector for each of its regions.
    Regions(Regions),
    /// The features of a stage.
    Features(Stage),
}

/// Which pixels of a file are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// As a viewer shows them, and as the server sees them: the EXIF orientation is applied.
    Shown,
    /// As the file stores them, and as training sees them.
    Stored,
}

/// What is computed of every image.
#[derive(Clone, Debug)]
pub struct Task {
    /// What.
    pub product: Product,
    /// With what.
    pub network: Arc<Network>,
    /// What the network sees.
    pub view: View,
    /// Of which pixels.
    pub pixels: Pixels,
    /// The type that numbers are written in.
    pub float: Float,
    /// Largest image.
    pub limits: ImageLimits,
    /// Most pixels of a network's input.
    pub input_pixels: u64,
}

/// Why a model cannot do a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// No graph gives the features.
    #[error("{model} has no graph that gives {stage}: convert its checkpoint again")]
    Stage {
        /// The model.
        model: String,
        /// The stage.
        stage: &'static str,
    },
    /// There is no projection space.
    #[error(
        "{model} has no projector, so it has no projection space: import a checkpoint with its heads"
    )]
    Space {
        /// The model.
        model: String,
    },
}

/// Bytes that an image takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// While it is decoded and segmented.
    pub during: u64,
    /// From then on until its rows are written.
    pub kept: u64,
}

impl Task {
    /// That the model gives what is asked of it.
    pub fn check(&self) -> Result<(), TaskError> {
        let model = || self.network.manifest().name.to_string();
        for stage in self.stages() {
            if !self.network.gives(Output::Features(stage)) {
                let (model, stage) = (model(), stage.name());
                return Err(TaskError::Stage { model, stage });
            }
        }
        match &self.product {
            Product::Regions(regions)
                if regions.space == Space::Projection && self.network.projector().is_none() =>
            {
                Err(TaskError::Space { model: model() })
            }
            Product::Regions(_) | Product::Embeddings | Product::Features(_) => Ok(()),
        }
    }

    /// Stages whose features are asked for.
    fn stages(&self) -> impl Iterator<Item = Stage> {
        let (first, second) = match &self.product {
            Product::Embeddings => (None, None),
            Product::Features(stage) => (Some(*stage), None),
            Product::Regions(regions) => (regions.stage(), Some(Stage::C5)),
        };
        first.into_iter().chain(second)
    }

    /// How often the network is asked about an image.
    #[must_use]
    pub fn questions(&self) -> usize {
        match &self.product {
            Product::Regions(regions) if regions.stage().is_some() => 2,
            Product::Regions(_) | Product::Embeddings | Product::Features(_) => 1,
        }
    }

    /// What an encoded image takes, by its header alone; or why it cannot be used.
    pub fn need(&self, bytes: &[u8]) -> Result<Need, String> {
        let size = image::stored_size(bytes, &self.limits).map_err(|error| error.to_string())?;
        let [height, width] = size;
        let pixels = u64::from(height) * u64::from(width);
        let seen = |view: View| {
            // Turned by its orientation, its sides change places and their product stays.
            let [rows, columns] = view.input_size(height, width);
            u64::from(rows) * u64::from(columns)
        };
        let mut inputs = seen(self.view);
        let mut during = pixels * DECODING;
        let mut kept = OVERHEAD;
        if let Product::Regions(regions) = &self.product {
            during += regions.working_bytes(height, width);
            if regions.stage().is_some() {
                inputs = inputs.max(seen(self.view.full()));
                kept += pixels * PIXEL;
            }
        }
        if inputs > self.input_pixels {
            let most = self.input_pixels;
            return Err(format!(
                "The network would see {inputs} pixels of it, and at most {most} are computed (--max-input-pixels)."
            ));
        }
        kept += inputs * PIXEL + self.answer_bytes(size);
        Ok(Need {
            during: during + kept,
            kept,
        })
    }

    /// Bytes of the network's answers about an image.
    fn answer_bytes(&self, [height, width]: [u32; 2]) -> u64 {
        let cost = |output, view: View| {
            let [rows, columns] = view.input_size(height, width).map(|side| side as usize);
            self.network.cost(output, [1, rows, columns]).answer_bytes
        };
        match &self.product {
            Product::Embeddings => cost(Output::Embedding, self.view),
            Product::Features(stage) => cost(Output::Features(*stage), self.view),
            Product::Regions(regions) => {
                let full = |stage| cost(Output::Features(stage), self.view.full());
                let first = regions.stage().map_or(0, full);
                first + cost(Output::Features(Stage::C5), self.view)
            }
        }
    }

    /// Decodes an image, and says what is next; or why it cannot be used.
    pub fn begin(self: &Arc<Self>, found: Found, bytes: &Bytes) -> Result<Next, String> {
        let decoded = match self.pixels {
            Pixels::Shown => image::decode(bytes, &self.limits),
            Pixels::Stored => image::decode_stored(bytes, &self.limits),
        };
        let image = decoded.map_err(|error| error.to_string())?;
        let Found {
            id,
            path,
            label,
            json,
            mask,
            ..
        } = found;
        let about = About {
            id,
            path,
            width: image.width(),
            height: image.height(),
            label,
            json,
        };
        match &self.product {
            Product::Embeddings => Ok(self.embedding(about, &image)),
            Product::Features(stage) => Ok(self.features(about, &image, *stage)),
            Product::Regions(regions) => regions.begin(self, about, image, mask),
        }
    }

    fn embedding(&self, about: About, image: &RgbImage) -> Next {
        let float = self.float;
        ask(self.view, image, Output::Embedding, move |tensor| {
            let embedding = Value::Embedding(float.of(tensor.into_values()));
            Ok(Next::Done(about, vec![embedding]))
        })
    }

    fn features(&self, about: About, image: &RgbImage, stage: Stage) -> Next {
        let float = self.float;
        ask(self.view, image, Output::Features(stage), move |tensor| {
            let shape = <[usize; 3]>::try_from(tensor.shape());
            let shape = shape.map_err(|_| "The graph gave no map of features.".to_owned())?;
            let values = float.of(tensor.into_values());
            Ok(Next::Done(about, vec![Value::Features { shape, values }]))
        })
    }
}

/// Asks the network about what a view shows of an image.
pub(super) fn ask(
    view: View,
    image: &RgbImage,
    output: Output,
    then: impl FnOnce(detcon_core::checkpoint::Tensor) -> Result<Next, String> + Send + 'static,
) -> Next {
    Next::Ask(Box::new(Ask {
        input: view.input(image),
        output,
        then: Box::new(then),
    }))
}

/// The label map that comes with an image, or lies beside it.
pub(super) fn label_map(
    given: Option<Given>,
    limits: &ImageLimits,
) -> Result<detcon_core::segment::SegmentMap, String> {
    match given {
        Some(Given::Map(map)) => Ok(map),
        Some(Given::Png(png)) => detcon_core::segment::SegmentMap::from_png(&png, limits)
            .map_err(|error| error.to_string()),
        None => Err("No mask comes with it.".to_owned()),
    }
}

/// The name of the label map of an image.
pub(super) fn label_map_name(path: &str) -> String {
    Path::new(path)
        .with_extension("png")
        .to_string_lossy()
        .into_owned()
}
