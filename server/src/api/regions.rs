//! `POST /v1/regions`.

mod given;

#[cfg(fuzzing)]
pub(crate) use given::fuzz_given;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use detcon_core::arch::Stage;
use detcon_core::regions::BoundingBox;
use detcon_inference::{Output, Region, Regions, Space};
use safetensors::tensor::Dtype;
use serde::Serialize;

use self::given::{RegionSource, unusable};
use super::view::{view, with_features};
use super::{App, Binary};
use crate::engine::Form;
use crate::http::encode;
use crate::http::parameters::{
    BOXES, COLUMNS, K, METHOD, MIN_SIZE, MODEL, PRIORITY, RLE, ROWS, SCALE, SEED, SIGMA, SIZE,
    SPACE, STAGE, TIMEOUT_MS, VIEW, document_fields,
};
use crate::http::urgency::{urgency, urgency_with};
use crate::http::{
    BodyFormat, Mask, Problem, ProblemBody, Provenance, Representation, RequestFields, Written,
    contents,
};

const FIELDS: RequestFields = RequestFields {
    fields: &[
        MODEL, SPACE, VIEW, SIZE, BOXES, RLE, METHOD, SCALE, SIGMA, MIN_SIZE, ROWS, COLUMNS, K,
        SEED, STAGE, TIMEOUT_MS, PRIORITY,
    ],
    images: Some(1),
    mask: Mask::Allowed,
};

document_fields!(Documented, FIELDS);

/// What regions can be sent as, in the server's order of preference.
const OFFERS: [Representation; 3] = [
    Representation::Json,
    Representation::Npy,
    Representation::Safetensors,
];

/// The regions of an image.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RegionList<'a> {
    /// The model that made the vectors.
    model: &'a str,
    /// Height and width of the image, in pixels.
    size: [u32; 2],
    /// The regions that win cells, by id.
    regions: Vec<RegionItem>,
    /// Ids of the regions that win no cell of the feature grid.
    dropped: Vec<u16>,
}

/// One region.
#[derive(Serialize, utoipa::ToSchema)]
struct RegionItem {
    /// Its label, or its place among the given boxes or masks.
    id: u16,
    /// Its pixels in the image.
    area: u64,
    /// Its cells on the feature grid.
    cells: usize,
    /// `[x, y, width, height]` in pixels of the image.
    #[serde(rename = "box")]
    #[schema(value_type = [u32; 4])]
    bounds: BoundingBox,
    /// Its vector.
    embedding: Vec<f32>,
}

/// A multipart body with one image and perhaps a label PNG; the query's fields may be parts too.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what is read part by part")]
pub(crate) struct ImageAndMask {
    /// The image.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// A label PNG of the image's size, 8 or 16 bit: every label, 0 too, is a region.
    #[schema(value_type = Option<String>, format = Binary)]
    mask: Option<Vec<u8>>,
}

/// Gives one vector for each region of an image.
///
/// Regions are given (part `mask`: a label PNG of the image's size; `boxes`: `[[x,y,w,h],…]`; `rle`: COCO run
/// lengths, one or a list) or made by a `method` as in `/v1/segmentations`. Each wins the cells of the feature grid
/// in which it has the most pixels, and its vector is the mean of c5 over them. EXIF orientation is applied to the
/// image, so masks are of the image as it is shown.
#[utoipa::path(
    post,
    path = "/v1/regions",
    tag = "features",
    params(Documented),
    request_body(content(
        (Binary = "image/*"),
        (Binary = "application/octet-stream"),
        (ImageAndMask = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The regions: JSON; an array file of the vectors; or safetensors with `embeddings`, `ids`, `areas`, `cells` and `boxes`.", headers(
            ("x-detcon-model-digest" = String, description = "SHA-256 of the manifest of the model that made it."),
            ("x-detcon-precision" = String, description = "What it was computed in: fp32, fp16 or int8."),
        ), content(
            (RegionList = "application/json"),
            (Binary = "application/x-npy"),
            (Binary = "application/safetensors"),
        )),
        (status = "4XX", description = "A request that cannot be answered.", body = ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "A server that cannot answer now.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn regions(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let format = BodyFormat::of(request.headers())?;
    let representation = Representation::negotiate(request.headers(), &OFFERS)?;
    let urgency = urgency(request.headers())?;
    let mut contents = contents(format, request, FIELDS, &app.limits).await?;
    let work = app
        .pipeline
        .begin(urgency_with(urgency, &mut contents.fields)?);
    let named: Option<String> = contents.fields.take(MODEL)?;
    let model = app.registry.find(named.as_deref())?;
    let space: Space = contents.fields.take(SPACE)?.unwrap_or_default();
    let view = view(&mut contents.fields, model.manifest().preprocess)?;
    model.gives(Output::Features(Stage::C5))?;
    model.has_space(space)?;
    let source = RegionSource::take(&mut contents, &work, &model, view)?;
    let place = work.place(&*model)?;
    let need = {
        let (model, source) = (Arc::clone(&model), source.need());
        // Regions win cells, so there are no more vectors than cells.
        let form = form(representation);
        move |size| with_features(source(size), (&model, Stage::C5), (view, size), form)
    };
    let (image, afforded) = work.decode(contents.image()?, need).await?;
    drop(contents); // the body is gone
    let set = source.regions(&work, &afforded, Arc::clone(&image));
    let set = Arc::new(set.await?);
    let size = [image.height(), image.width()];
    let (cells, input) = {
        let (set, spec) = (Arc::clone(&set), model.manifest().spec);
        let seen = move || Ok((set.on_grid(&view.cells(&image, spec)?)?, view.input(&image)));
        work.compute(seen)
            .await?
            .map_err(|error| unusable(&error))?
    };
    let asked = (input, Stage::C5);
    let features = work.features(&*model, place, asked, &afforded).await?;
    let bytes = size_of_val(features.values());
    let found = {
        let model = Arc::clone(&model);
        let pool = move || model.network().regions(&set, &cells, &features, space);
        work.compute(pool).await?.map_err(encode::unwritten)?
    };
    let provenance = Provenance::of(&model, Output::Features(Stage::C5));
    let write = move || {
        let list = RegionList::of(model.manifest().name.as_str(), size, found);
        encode_list(&list, representation)
    };
    let written = work.write(bytes, write).await??;
    let response = encode::answer(representation, written.holding(afforded.into_share()));
    Ok(provenance.with_headers(response))
}

/// How the vectors are sent.
const fn form(representation: Representation) -> Form {
    match representation {
        Representation::Npy | Representation::Safetensors => Form::Binary,
        Representation::Json | Representation::Png => Form::Number,
    }
}

impl<'a> RegionList<'a> {
    fn of(model: &'a str, size: [u32; 2], found: Regions) -> Self {
        let item = |region: Region| RegionItem {
            id: region.id,
            area: region.area,
            cells: region.cells,
            bounds: region.bounds,
            embedding: region.embedding,
        };
        Self {
            model,
            size,
            regions: found.regions.into_iter().map(item).collect(),
            dropped: found.dropped,
        }
    }
}

fn encode_list(list: &RegionList<'_>, representation: Representation) -> Result<Written, Problem> {
    let count = list.regions.len();
    let shape = [
        count,
        list.regions
            .first()
            .map_or(0, |region| region.embedding.len()),
    ];
    let vectors = || {
        let vectors = list.regions.iter();
        let bytes = vectors.flat_map(|it| bytemuck::cast_slice(&it.embedding));
        vec![bytes.copied().collect::<Bytes>()]
    };
    let integers = |values: &mut dyn Iterator<Item = i64>| {
        vec![values.flat_map(i64::to_le_bytes).collect::<Bytes>()]
    };
    match representation {
        Representation::Npy => Ok(encode::npy("<f4", &shape, vectors())),
        Representation::Json | Representation::Png => encode::json(list),
        Representation::Safetensors => {
            let regions = || list.regions.iter();
            let ids = integers(&mut regions().map(|it| it.id.into()));
            let areas =
                integers(&mut regions().map(|it| i64::try_from(it.area).unwrap_or(i64::MAX)));
            let cells =
                integers(&mut regions().map(|it| i64::try_from(it.cells).unwrap_or(i64::MAX)));
            let boxes = integers(&mut regions().flat_map(|it| it.bounds.to_array().map(i64::from)));
            encode::safetensors(vec![
                ("embeddings", Dtype::F32, &shape, vectors()),
                ("ids", Dtype::I64, &[count], ids),
                ("areas", Dtype::I64, &[count], areas),
                ("cells", Dtype::I64, &[count], cells),
                ("boxes", Dtype::I64, &[count, 4], boxes),
            ])
        }
    }
}
