//! `POST /v1/segmentations`.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use detcon_core::regions::coco::CocoRle;
use detcon_core::regions::{BoundingBox, overlay_png, segment_masks};
use detcon_core::segment::SegmentMap;
use serde::Serialize;

use super::method::AskedMethod;
use super::view::full_view;
use super::{App, Binary, ImagePart};
use crate::http::encode;
use crate::http::parameters::{
    COLUMNS, K, METHOD, MIN_SIZE, MODEL, OUTPUT, PRIORITY, ROWS, SCALE, SEED, SIGMA, SIZE, STAGE,
    TIMEOUT_MS, document_fields,
};
use crate::http::urgency::{urgency, urgency_with};
use crate::http::{
    BodyFormat, Mask, Problem, ProblemBody, Representation, RequestFields, Written, contents,
};

const FIELDS: RequestFields = RequestFields {
    fields: &[
        METHOD, SCALE, SIGMA, MIN_SIZE, ROWS, COLUMNS, K, SEED, STAGE, SIZE, MODEL, OUTPUT,
        TIMEOUT_MS, PRIORITY,
    ],
    images: Some(1),
    mask: Mask::Unknown,
};

document_fields!(Documented, FIELDS);

/// What the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SegmentationOutput {
    /// The label map.
    #[default]
    Labels,
    /// A picture of it over the image.
    Overlay,
}

impl SegmentationOutput {
    /// What it can be sent as, in the server's order of preference.
    const fn offers(self) -> &'static [Representation] {
        match self {
            Self::Labels => &[
                Representation::Png,
                Representation::Npy,
                Representation::Json,
            ],
            Self::Overlay => &[Representation::Png],
        }
    }
}

impl FromStr for SegmentationOutput {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "labels" => Ok(Self::Labels),
            "overlay" => Ok(Self::Overlay),
            _ => Err("it is neither labels nor overlay"),
        }
    }
}

/// The segments of an image.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Segmentation {
    /// Height and width of the image, in pixels.
    size: [u32; 2],
    /// The segments, by id.
    segments: Vec<Segment>,
}

/// One segment.
#[derive(Serialize, utoipa::ToSchema)]
struct Segment {
    /// Its label; of a head's segments, the class.
    id: u16,
    /// What the class is called, of a head's segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Its pixels.
    area: u64,
    /// `[x, y, width, height]` in pixels.
    #[serde(rename = "box")]
    #[schema(value_type = [u32; 4])]
    bounds: BoundingBox,
    /// Its pixels as COCO's compressed run lengths.
    #[schema(value_type = Object)]
    rle: CocoRle,
}

/// Segments an image.
///
/// `felzenszwalb` makes the masks that DetCon trains on (defaults are upstream's), `grid` rows and columns, `kmeans`
/// clusters of a model's own features, and `head:NAME` asks a head that was trained on them, whose segments are classes
/// (`GET /v1/models/{name}` lists the heads). The label map comes as a PNG (8 bit up to 256 segments, 16 beyond), as an
/// array file, or as JSON with COCO run lengths; `output=overlay` is a picture to look at.
#[utoipa::path(
    post,
    path = "/v1/segmentations",
    tag = "features",
    params(Documented),
    request_body(content(
        (Binary = "image/*"),
        (Binary = "application/octet-stream"),
        (ImagePart = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The segments.", headers(
            ("x-detcon-model-digest" = String, description = "SHA-256 of the manifest of the model that made it."),
            ("x-detcon-precision" = String, description = "What it was computed in: fp32, fp16 or int8."),
        ), content(
            (Binary = "image/png"),
            (Binary = "application/x-npy"),
            (Segmentation = "application/json"),
        )),
        (status = "4XX", description = "A request that cannot be answered.", body = ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "A server that cannot answer now.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn segment(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let format = BodyFormat::of(request.headers())?;
    let headers: HeaderMap = request.headers().clone();
    let urgency = urgency(request.headers())?;
    let mut contents = contents(format, request, FIELDS, &app.limits).await?;
    let fields = &mut contents.fields;
    let work = app.pipeline.begin(urgency_with(urgency, fields)?);
    let output: SegmentationOutput = fields.take(OUTPUT)?.unwrap_or_default();
    let representation = Representation::negotiate(&headers, output.offers())?;
    let method = AskedMethod::take(fields, &work, |fields, usual| {
        let named: Option<String> = fields.take(MODEL)?;
        let model = app.registry.find(named.as_deref())?;
        let view = full_view(fields, usual(&model)?)?;
        Ok((model, view))
    })?;
    let provenance = method.provenance();
    let classes = method.classes().map(<[String]>::to_vec);
    let (image, afforded) = work.decode(contents.image()?, method.need()).await?;
    drop(contents); // the body is gone
    let map = method.segment(&work, &afforded, Arc::clone(&image)).await?;
    let written = move || match output {
        SegmentationOutput::Overlay => {
            let png = overlay_png(&image, &map).map_err(encode::unwritten);
            png.map(Written::from)
        }
        SegmentationOutput::Labels => labels(&map, classes.as_deref(), representation),
    };
    let written = work.compute(written).await??;
    let response = encode::answer(representation, written.holding(afforded.into_share()));
    Ok(match provenance {
        Some(provenance) => provenance.with_headers(response),
        None => response,
    })
}

/// The segments of a map, where `classes` are their names by id, if they have names.
fn labels(
    map: &SegmentMap,
    classes: Option<&[String]>,
    representation: Representation,
) -> Result<Written, Problem> {
    match representation {
        Representation::Png => Ok(map.to_png().into()),
        Representation::Npy => {
            let shape = [map.height() as usize, map.width() as usize];
            let data = map.ids().iter().flat_map(|id| id.to_le_bytes());
            Ok(encode::npy("<u2", &shape, vec![data.collect()]))
        }
        Representation::Json | Representation::Safetensors => {
            let masks = segment_masks(map).map_err(encode::unwritten)?;
            let segment = |(id, mask)| Segment {
                id,
                class: classes.and_then(|names| names.get(usize::from(id)).cloned()),
                area: detcon_core::regions::Mask::area(&mask),
                bounds: mask.bounds(),
                rle: CocoRle::from(&mask),
            };
            let segments = masks.into_iter().map(segment).collect();
            encode::json(&Segmentation {
                size: [map.height(), map.width()],
                segments,
            })
        }
    }
}
