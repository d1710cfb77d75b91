//! The ways to segment an image that a request can ask for, with their parameters.

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::image::RgbImage;
use detcon_core::model::HeadEntry;
use detcon_core::preprocess::Preprocess;
use detcon_core::segment::{
    FeatureMap, Felzenszwalb, Grid, KMeans, SegmentError, SegmentMap, SegmentationHead, Workspace,
};

use crate::batch::Place;
use crate::engine::Output;
use crate::input::parameters::{COLUMNS, K, METHOD, MIN_SIZE, ROWS, SCALE, SEED, SIGMA, STAGE};
use crate::input::{Fields, invalid};
use crate::pipeline::Work;
use crate::problem::Problem;
use crate::provenance::Provenance;
use crate::registry::Model;
use crate::view::View;

/// Upstream's `scale`, `sigma` and `min_size`.
const UPSTREAM: (f64, f64, u32) = (1000.0, 0.8, 1000);
/// Rows and columns of a grid, and clusters of k-means, where none are asked for.
const DEFAULT_GRID: NonZeroU16 = NonZeroU16::new(7).unwrap();
const DEFAULT_K: u32 = 8;
/// Most pixels that a request may have segmented by Felzenszwalb's method, whose graph takes about 100 bytes a pixel.
const FELZENSZWALB_PIXELS: u64 = 1 << 24;
/// Largest image whose buffers a thread keeps for the next.
const KEPT_PIXELS: u64 = 1 << 21;

/// How a model sees an image where the request does not say.
pub(crate) type Usual<'a> = &'a dyn Fn(&Model) -> Result<Preprocess, Problem>;

/// A way to segment an image.
#[derive(Debug)]
pub(crate) enum Method {
    /// The paper's masks.
    Felzenszwalb(Felzenszwalb),
    /// The paper's spatial heuristic.
    Grid(Grid),
    /// Clusters of a model's own features of the whole image.
    KMeans {
        /// Clusters and seed.
        clusters: KMeans,
        /// The features.
        stage: Stage,
        /// How the network sees the image.
        view: View,
        /// The network.
        model: Arc<Model>,
        /// The image's place in front of it.
        place: Place,
    },
    /// Classes, by a head that was trained on a model's features of the whole image.
    Head {
        /// The head.
        head: Arc<SegmentationHead>,
        /// What the manifest says of it.
        entry: HeadEntry,
        /// How the network sees the image.
        view: View,
        /// The network.
        model: Arc<Model>,
        /// The image's place in front of it.
        place: Place,
    },
}

/// What `method` begins with where a head's name follows.
const HEAD: &str = "head:";

impl Method {
    /// Reads `method` and its parameters; what is left over goes with another method and is an error.
    ///
    /// The model and how it sees the image are asked for where the method needs a network, with what is seen where the
    /// request does not say.
    pub(crate) fn take(
        fields: &mut Fields,
        work: &Work,
        model: impl FnOnce(&mut Fields, Usual<'_>) -> Result<(Arc<Model>, View), Problem>,
    ) -> Result<Self, Problem> {
        let name: Option<String> = fields.take(METHOD)?;
        let name = name.unwrap_or_else(|| "felzenszwalb".to_owned());
        let method = match name.as_str() {
            "felzenszwalb" => {
                let (scale, sigma, min_size) = UPSTREAM;
                let scale = fields.take(SCALE)?.unwrap_or(scale);
                let sigma = fields.take(SIGMA)?.unwrap_or(sigma);
                let min_size = fields.take(MIN_SIZE)?.unwrap_or(min_size);
                Self::Felzenszwalb(Felzenszwalb::new(scale, sigma, min_size).map_err(parameter)?)
            }
            "grid" => {
                let rows = fields.take(ROWS)?.unwrap_or(DEFAULT_GRID);
                let columns = fields.take(COLUMNS)?.unwrap_or(DEFAULT_GRID);
                Self::Grid(Grid::new(rows, columns).map_err(parameter)?)
            }
            "kmeans" => {
                let k = fields.take(K)?.unwrap_or(DEFAULT_K);
                let clusters =
                    KMeans::new(k, fields.take(SEED)?.unwrap_or(0)).map_err(parameter)?;
                let stage = fields.take(STAGE)?.unwrap_or(Stage::C5);
                let (model, view) = model(fields, &|model| Ok(model.manifest().preprocess))?;
                Self::KMeans {
                    clusters,
                    stage,
                    view: view.full(),
                    place: work.place(&model)?,
                    model,
                }
            }
            _ => {
                let head = name.strip_prefix(HEAD);
                let head = head.ok_or_else(|| {
                    let detail = "it is none of felzenszwalb, grid, kmeans and head:NAME";
                    invalid("method", detail)
                })?;
                let (model, view) = model(fields, &|model| trained_at(model.head(head)?.0))?;
                let (entry, head) = model.head(head)?;
                Self::Head {
                    head: Arc::clone(head),
                    entry: entry.clone(),
                    view: view.full(),
                    place: work.place(&model)?,
                    model,
                }
            }
        };
        match fields.left_over() {
            Some(field) => Err(invalid(field, format!("it does not go with method={name}"))),
            None => Ok(method),
        }
    }

    /// Which model it asks, and for what, where it asks one.
    pub(crate) fn provenance(&self) -> Option<Provenance> {
        match self {
            Self::KMeans { model, stage, .. } => {
                Some(Provenance::of(model, Output::Features(*stage)))
            }
            Self::Head { model, entry, .. } => {
                Some(Provenance::of(model, Output::Features(entry.stage)))
            }
            Self::Felzenszwalb(_) | Self::Grid(_) => None,
        }
    }

    /// What its segments are called, by id, where they are classes.
    pub(crate) fn classes(&self) -> Option<&[String]> {
        match self {
            Self::Head { entry, .. } => Some(&entry.classes),
            Self::Felzenszwalb(_) | Self::Grid(_) | Self::KMeans { .. } => None,
        }
    }

    /// Segments an image.
    pub(crate) async fn segment(
        self,
        work: &Work,
        image: Arc<RgbImage>,
    ) -> Result<SegmentMap, Problem> {
        let map = match self {
            Self::Felzenszwalb(method) => {
                let segment = move || felzenszwalb(&method, &image);
                work.compute(segment).await?
            }
            Self::Grid(grid) => grid.segment(image.height(), image.width()),
            Self::KMeans {
                clusters,
                stage,
                view,
                model,
                place,
            } => {
                let (height, width) = (image.height(), image.width());
                let input = work.compute(move || view.input(&image)).await?;
                let features = work.features(&model, place, input, stage).await?;
                let cluster = move || {
                    let map = feature_map(features.shape(), features.values())?;
                    clusters.cluster(map)?.upsample(height, width)
                };
                work.compute(cluster).await?
            }
            Self::Head {
                head,
                entry,
                view,
                model,
                place,
            } => {
                let (height, width) = (image.height(), image.width());
                let input = work.compute(move || view.input(&image)).await?;
                let features = work.features(&model, place, input, entry.stage).await?;
                let classify = move || {
                    let map = feature_map(features.shape(), features.values())?;
                    head.logits(map)?.classes(height, width)
                };
                work.compute(classify).await?
            }
        };
        map.map_err(|error| Problem::Segmentation {
            detail: error.to_string(),
        })
    }
}

/// Features `[C, h, w]` as the core takes them.
pub(crate) fn feature_map<'a>(
    shape: &[usize],
    values: &'a [f32],
) -> Result<FeatureMap<'a>, SegmentError> {
    let side = |axis: usize| {
        shape
            .get(axis)
            .and_then(|&n| u32::try_from(n).ok())
            .unwrap_or(0)
    };
    FeatureMap::new(
        values,
        shape.first().copied().unwrap_or(0),
        side(1),
        side(2),
    )
}

/// How a head's images were seen in its training.
fn trained_at(entry: &HeadEntry) -> Result<Preprocess, Problem> {
    Preprocess::center_crop(entry.size).map_err(|_| Problem::Internal) // checked when the directory was opened
}

fn parameter(error: SegmentError) -> Problem {
    match error {
        SegmentError::Parameter { name, .. } => invalid(name, error.to_string()),
        error => Problem::Segmentation {
            detail: error.to_string(),
        },
    }
}

/// Segments with buffers that each thread of the pool keeps, unless the image is large.
fn felzenszwalb(method: &Felzenszwalb, image: &RgbImage) -> Result<SegmentMap, SegmentError> {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    let pixels = u64::from(image.height()) * u64::from(image.width());
    if pixels > FELZENSZWALB_PIXELS {
        let limit = FELZENSZWALB_PIXELS;
        return Err(SegmentError::TooManyPixels { pixels, limit });
    }
    if pixels > KEPT_PIXELS {
        return method.segment(image, &mut Workspace::default());
    }
    WORKSPACE.with_borrow_mut(|kept| method.segment(image, kept))
}
