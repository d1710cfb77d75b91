//! The ways to segment an image that a request can ask for, with their parameters.

use std::num::NonZeroU16;
use std::sync::Arc;

use detcon_core::arch::Stage;
use detcon_core::image::RgbImage;
use detcon_core::preprocess::Preprocess;
use detcon_core::segment::{Felzenszwalb, Grid, KMeans, SegmentError, SegmentMap};
use detcon_inference::{Method, Output, View};

use super::view::with_features;
use crate::engine::{Afforded, Form, Need, Place, Work};
use crate::http::parameters::{COLUMNS, K, METHOD, MIN_SIZE, ROWS, SCALE, SEED, SIGMA, STAGE};
use crate::http::{Fields, Problem, Provenance, invalid};
use crate::models::Model;

/// Upstream's `scale`, `sigma` and `min_size`.
const UPSTREAM: (f64, f64, u32) = (1000.0, 0.8, 1000);
/// Rows and columns of a grid, and clusters of k-means, where none are asked for.
const DEFAULT_GRID: NonZeroU16 = NonZeroU16::new(7).unwrap();
const DEFAULT_K: u32 = 8;
/// What `method` begins with where a head's name follows.
const HEAD: &str = "head:";

/// How a model sees an image where the request does not say.
pub(super) type Usual<'a> = &'a dyn Fn(&Model) -> Result<Preprocess, Problem>;

/// A method that a request asks for.
#[derive(Debug)]
pub(super) struct AskedMethod {
    method: Method,
    /// Where the features come from that it needs, if it needs any.
    network: Option<AskedNetwork>,
    /// What its segments are called, by id, where they are classes.
    classes: Option<Vec<String>>,
}

/// Whose features a method needs, with the image's place in front of it.
#[derive(Debug)]
struct AskedNetwork {
    model: Arc<Model>,
    view: View,
    place: Place,
}

impl AskedMethod {
    /// Reads `method` and its parameters; what is left over goes with another method and is an error.
    ///
    /// The model and how it sees the image are asked for where the method needs a network, with what is seen where the
    /// request does not say.
    pub(super) fn take(
        fields: &mut Fields,
        work: &Work,
        model: impl FnOnce(&mut Fields, Usual<'_>) -> Result<(Arc<Model>, View), Problem>,
    ) -> Result<Self, Problem> {
        let name: Option<String> = fields.take(METHOD)?;
        let name = name.unwrap_or_else(|| "felzenszwalb".to_owned());
        let asked = match name.as_str() {
            "felzenszwalb" => Self::of(felzenszwalb(fields)?),
            "grid" => Self::of(grid(fields)?),
            "kmeans" => {
                let method = kmeans(fields)?;
                let (model, view) = model(fields, &|model| Ok(model.manifest().preprocess))?;
                Self::of(method).on(model, view, work)?
            }
            _ => {
                let head = name.strip_prefix(HEAD);
                let head = head.ok_or_else(|| {
                    let detail = "it is none of felzenszwalb, grid, kmeans and head:NAME";
                    invalid(METHOD.name, detail)
                })?;
                let (model, view) = model(fields, &|model| trained_at(model, head))?;
                Self::by_head(&model, head)?.on(model, view, work)?
            }
        };
        match fields.left_over() {
            Some(field) => Err(invalid(field, format!("it does not go with method={name}"))),
            None => Ok(asked),
        }
    }

    const fn of(method: Method) -> Self {
        Self {
            method,
            network: None,
            classes: None,
        }
    }

    fn by_head(model: &Model, name: &str) -> Result<Self, Problem> {
        let (entry, head) = model.head(name)?;
        let method = Method::Head {
            head: Arc::clone(head),
            stage: entry.stage,
        };
        Ok(Self {
            classes: Some(entry.classes.clone()),
            ..Self::of(method)
        })
    }

    /// With the features of a model, which has a place for the image.
    fn on(self, model: Arc<Model>, view: View, work: &Work) -> Result<Self, Problem> {
        if let Some(stage) = self.method.stage() {
            model.gives(Output::Features(stage))?;
        }
        let network = AskedNetwork {
            place: work.place(&*model)?,
            view: view.full(),
            model,
        };
        Ok(Self {
            network: Some(network),
            ..self
        })
    }

    /// Which model it asks, and for what, where it asks one.
    pub(super) fn provenance(&self) -> Option<Provenance> {
        let (network, stage) = (self.network.as_ref()?, self.method.stage()?);
        Some(Provenance::of(&network.model, Output::Features(stage)))
    }

    /// What its segments are called, by id, where they are classes.
    pub(super) fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// What it takes for an image of a height and a width, beside what segmenting itself does.
    pub(super) fn need(&self) -> impl FnOnce([u32; 2]) -> Need + Send + use<> {
        let network = self.network.as_ref();
        let network = network.map(|it| (Arc::clone(&it.model), it.view));
        let seen = network.zip(self.method.stage());
        move |size| match seen {
            Some(((model, view), stage)) => {
                let need = Need::segments(size);
                with_features(need, (&model, stage), (view, size), Form::Binary)
            }
            None => Need::segments(size),
        }
    }

    /// Segments an image.
    pub(super) async fn segment(
        self,
        work: &Work,
        afforded: &Afforded,
        image: Arc<RgbImage>,
    ) -> Result<SegmentMap, Problem> {
        let Self {
            method, network, ..
        } = self;
        let features = match (network, method.stage()) {
            (Some(AskedNetwork { model, view, place }), Some(stage)) => {
                let seen = Arc::clone(&image);
                let input = work.compute(move || view.input(&seen)).await?;
                let asked = (input, stage);
                Some(work.features(&*model, place, asked, afforded).await?)
            }
            (None, _) | (_, None) => None,
        };
        let bytes = method.working_bytes(image.height(), image.width());
        let segment = move || method.segment(&image, features.as_ref());
        let map = work.segment(bytes, segment).await?;
        map.map_err(|error| Problem::Segmentation {
            detail: error.to_string(),
        })
    }
}

fn felzenszwalb(fields: &mut Fields) -> Result<Method, Problem> {
    let (scale, sigma, min_size) = UPSTREAM;
    let scale = fields.take(SCALE)?.unwrap_or(scale);
    let sigma = fields.take(SIGMA)?.unwrap_or(sigma);
    let min_size = fields.take(MIN_SIZE)?.unwrap_or(min_size);
    let method = Felzenszwalb::new(scale, sigma, min_size).map_err(parameter)?;
    Ok(Method::Felzenszwalb(method))
}

fn grid(fields: &mut Fields) -> Result<Method, Problem> {
    let rows = fields.take(ROWS)?.unwrap_or(DEFAULT_GRID);
    let columns = fields.take(COLUMNS)?.unwrap_or(DEFAULT_GRID);
    Ok(Method::Grid(Grid::new(rows, columns).map_err(parameter)?))
}

fn kmeans(fields: &mut Fields) -> Result<Method, Problem> {
    let k = fields.take(K)?.unwrap_or(DEFAULT_K);
    let clusters = KMeans::new(k, fields.take(SEED)?.unwrap_or(0)).map_err(parameter)?;
    let stage = fields.take(STAGE)?.unwrap_or(Stage::C5);
    Ok(Method::KMeans { clusters, stage })
}

/// How a head's images were seen in its training.
fn trained_at(model: &Model, head: &str) -> Result<Preprocess, Problem> {
    let (entry, _) = model.head(head)?;
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
