//! `GET /v1/models` and `GET /v1/models/{name}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use detcon_core::arch::Stage;
use detcon_core::model::{
    HeadEntry, HeadQuality, Manifest, Precision, Quality, Training, UNKNOWN_LICENSE,
};
use detcon_core::segment::HeadKind;
use detcon_inference::Output;
use serde::Serialize;

use super::App;
use crate::http::{Problem, ProblemBody};
use crate::models::{Model, ModelsError, State as ModelState};

/// OpenAI's list of models, with those that are not served and why.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelList {
    /// Always `list`.
    object: &'static str,
    /// The models that are served, by name.
    data: Vec<ModelSummary>,
    /// The models that are not, or not as their directories are now.
    refused: Vec<RefusedModel>,
}

/// A model that is served.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelSummary {
    /// Its name.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// When it was made, in seconds since 1970.
    created: u64,
    /// Always `detcon`.
    owned_by: &'static str,
    /// The network: `resnet50`, `resnet50x2`, `resnet50v2`, `wide_resnet50_2` …, and after a `+` each what it does
    /// otherwise than the published code: `resnet18+symmetric+identity`.
    arch: String,
    /// Where it pads: `same` (as TensorFlow does) or `symmetric` (as PyTorch does).
    padding: &'static str,
    /// How its input is normalised: `imagenet`, `none`, `caffe`, or by parts.
    normalization: String,
    /// Length of its embeddings.
    dim: usize,
    /// Whether its weights were trained.
    pretrained: bool,
    /// SPDX identifier of the weights' licence, or `unknown`.
    license: String,
    /// Arithmetic it can be run in: `fp32`, `fp16`, `int8`.
    #[schema(value_type = Vec<String>)]
    precisions: Vec<Precision>,
    /// Arithmetic that its embeddings are computed in here.
    #[schema(value_type = String)]
    precision: Precision,
    /// How near each lower precision's embeddings come to float32's, measured on photographs when it was made:
    /// `centred_cosine` and `relative_l2_error`, each with `mean` and `worst`.
    #[schema(value_type = BTreeMap<String, Object>)]
    quality: BTreeMap<Precision, Quality>,
    /// SHA-256 of its manifest, which names every file's digest.
    digest: String,
}

/// A model that is not served.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RefusedModel {
    /// Its name.
    id: String,
    /// What is wrong with it.
    reason: String,
}

/// Everything about a model.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelDetail {
    #[serde(flatten)]
    summary: ModelSummary,
    /// From a decoded photograph to the graph's input.
    #[schema(value_type = Object)]
    preprocess: serde_json::Value,
    /// Where the weights came from.
    source: ModelSource,
    /// The run that trained the weights, where `detcon-train export` made the model: `run`, `method`, `network`,
    /// `recipe_sha256`, `steps`, `images_seen`, `seed`, `image_size` and `version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    training: Option<Training>,
    /// When it was made, RFC 3339.
    created_at: String,
    /// Segmentation heads by name: `method=head:NAME` of `POST /v1/segmentations`.
    segmentation_heads: BTreeMap<String, SegmentationHead>,
    /// Its files.
    files: BTreeMap<String, ModelFile>,
}

/// A segmentation head that was trained on a model's features.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SegmentationHead {
    /// What it is made of: `linear` or `fcn`.
    #[schema(value_type = String)]
    kind: HeadKind,
    /// The stage whose features it reads: `c2`, `c3`, `c4` or `c5`.
    #[schema(value_type = String)]
    stage: Stage,
    /// Shorter side of the images that it was trained on, in pixels of the network's input.
    size: u32,
    /// What its classes are called, by id from 0.
    classes: Vec<String>,
    /// How well it tells them apart on images that had no part in its training, where that was measured:
    /// `mean_iou`, `class_iou` by id, `pixel_accuracy`, `measured_on` and the number of `images`.
    #[schema(value_type = Option<Object>)]
    quality: Option<HeadQuality>,
}

impl From<&HeadEntry> for SegmentationHead {
    fn from(entry: &HeadEntry) -> Self {
        let HeadEntry {
            kind,
            stage,
            size,
            classes,
            quality,
        } = entry.clone();
        Self {
            kind,
            stage,
            size,
            classes,
            quality,
        }
    }
}

/// Where a model's weights came from.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelSource {
    /// Address or file name; for an untrained model, how it was made.
    uri: String,
    /// SHA-256 of the source.
    sha256: Option<String>,
    /// How the source was laid out.
    layout: String,
}

/// A file of a model.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelFile {
    /// Length.
    bytes: u64,
    /// SHA-256.
    sha256: String,
}

impl ModelSummary {
    fn of(model: &Model) -> Self {
        let manifest = model.manifest();
        Self {
            id: manifest.name.to_string(),
            object: "model",
            created: created(manifest),
            owned_by: "detcon",
            arch: manifest.spec.to_string(),
            padding: manifest.spec.padding().name(),
            normalization: manifest.spec.normalization().to_string(),
            dim: manifest.embedding_size,
            pretrained: manifest.pretrained,
            license: manifest
                .license
                .clone()
                .unwrap_or_else(|| UNKNOWN_LICENSE.to_owned()),
            precisions: manifest.precisions.clone(),
            precision: model.precision(Output::Embedding),
            quality: manifest.quality.clone(),
            digest: model.digest().to_owned(),
        }
    }
}

/// When a model was made, in seconds since 1970; 0 where its manifest does not say.
pub(super) fn created(manifest: &Manifest) -> u64 {
    let made = humantime::parse_rfc3339(&manifest.created).ok();
    let since = made.and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "models", responses((status = 200, description = "What is served, and what is not and why.", body = ModelList)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<ModelList> {
    let (mut data, mut refused) = (Vec::new(), Vec::new());
    for (id, state) in app.registry.states() {
        match state {
            ModelState::Loading => {}
            ModelState::Ready(model) => data.push(ModelSummary::of(&model)),
            ModelState::Refused(reason) => refused.push(RefusedModel {
                id,
                reason: reason.to_string(),
            }),
        }
    }
    let held_back = app.registry.held_back().into_iter();
    refused.extend(held_back.map(|(id, reason)| RefusedModel {
        id,
        reason: format!(
            "what is in its directory now is not served, the model of before is: {reason}"
        ),
    }));
    Json(ModelList {
        object: "list",
        data,
        refused,
    })
}

/// Describes one model.
#[utoipa::path(
    get,
    path = "/v1/models/{name}",
    operation_id = "describe_model",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "Everything about the model.", body = ModelDetail),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model is loading or was refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelDetail>, Problem> {
    let Path(name) = name.map_err(|_| ModelsError::unknown("\u{fffd}"))?; // bytes that are no text
    let model = app.registry.find(Some(&name))?;
    let manifest = model.manifest();
    let file = |(name, entry): (&String, &detcon_core::model::FileEntry)| {
        (
            name.clone(),
            ModelFile {
                bytes: entry.bytes,
                sha256: entry.sha256.clone(),
            },
        )
    };
    let heads = manifest.segmentation_heads.iter();
    Ok(Json(ModelDetail {
        summary: ModelSummary::of(&model),
        preprocess: serde_json::to_value(manifest.preprocess).map_err(|_| Problem::Internal)?,
        source: ModelSource {
            uri: manifest.source.uri.clone(),
            sha256: manifest.source.sha256.clone(),
            layout: manifest.source.layout.clone(),
        },
        training: manifest.training.clone(),
        created_at: manifest.created.clone(),
        segmentation_heads: heads
            .map(|(name, entry)| (name.to_string(), entry.into()))
            .collect(),
        files: manifest.files.iter().map(file).collect(),
    }))
}
