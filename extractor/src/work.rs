//! What is computed of an image, step by step: decoded, shown to the network once or twice, and made rows. The same
//! calls as the server's, so the same numbers.

mod regions;
mod task;

use detcon_core::checkpoint::Tensor;
use detcon_core::regions::BoundingBox;
use detcon_inference::{InputTensor, Output};
use half::f16;

pub use self::regions::{Listed, RegionSource, Regions};
pub use self::task::{Need, Pixels, Product, Task, TaskError};

/// Numbers of a row, in the type that they are written in.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// float32.
    Single(Vec<f32>),
    /// float16.
    Half(Vec<f16>),
}

/// A type that numbers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// float32.
    Single,
    /// float16, rounded to the nearest.
    Half,
}

impl Float {
    /// Its name in what parts say of themselves.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "float32",
            Self::Half => "float16",
        }
    }

    /// Numbers in this type.
    #[must_use]
    pub fn of(self, numbers: Vec<f32>) -> Numbers {
        match self {
            Self::Single => Numbers::Single(numbers),
            Self::Half => Numbers::Half(numbers.into_iter().map(f16::from_f32).collect()),
        }
    }
}

/// What a row says of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What tells it from others.
    pub id: String,
    /// Where it is in the input.
    pub path: String,
    /// Its columns.
    pub width: u32,
    /// Its rows.
    pub height: u32,
    /// Its class.
    pub label: Option<String>,
    /// The JSON text that comes with it.
    pub json: Option<String>,
}

/// What was computed of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Its embedding.
    Embedding(Numbers),
    /// A region's vector.
    Region {
        /// The region.
        region: Region,
        /// Its vector.
        embedding: Numbers,
    },
    /// The features of a stage.
    Features {
        /// Channels, rows and columns.
        shape: [usize; 3],
        /// In C order.
        values: Numbers,
    },
}

/// A region of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its label, its place among others, or its id in annotations.
    pub id: u64,
    /// Its place in the image.
    pub bounds: BoundingBox,
    /// Its pixels.
    pub area: u64,
    /// Its cells on the feature grid.
    pub cells: usize,
    /// What it shows, where somebody says it.
    pub category: Option<String>,
    /// Its pixels as COCO's run lengths, compressed, where they are wanted.
    pub rle: Option<String>,
}

/// What is next of an image.
pub enum Next {
    /// The network is to be asked.
    Ask(Box<Ask>),
    /// These are its rows.
    Done(About, Vec<Value>),
}

/// A question to the network.
pub struct Ask {
    /// What it sees.
    pub input: InputTensor,
    /// What is wanted.
    pub output: Output,
    /// What to do with the answer.
    pub then: Then,
}

/// What to do with an answer; or why the image cannot be used.
pub type Then = Box<dyn FnOnce(Tensor) -> Result<Next, String> + Send>;
