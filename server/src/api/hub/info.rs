//! `GET /api/models/detcon/{name}`: what a repository is and which files it has.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use detcon_core::model::file;
use serde::Serialize;

use super::{BRANCH, COMMIT, OWNER, Repository, said};
use crate::api::{App, blocking};
use crate::http::{Problem, ProblemBody};

/// A repository.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepositoryInfo {
    /// Owner and name.
    id: String,
    /// The same.
    model_id: String,
    /// The commit.
    sha: String,
    /// When the model was made, RFC 3339.
    last_modified: String,
    /// Always false: keys, where there are any, are the server's.
    private: bool,
    /// Always false.
    gated: bool,
    /// Always false.
    disabled: bool,
    /// Always 0: nobody counts.
    downloads: u64,
    /// Always 0.
    likes: u64,
    /// What it is.
    tags: Vec<String>,
    /// Always `image-feature-extraction`.
    #[serde(rename = "pipeline_tag")]
    pipeline_tag: &'static str,
    /// `timm`, where timm has the network.
    #[serde(rename = "library_name", skip_serializing_if = "Option::is_none")]
    library_name: Option<&'static str>,
    /// The files.
    siblings: Vec<Sibling>,
}

/// A file, by its name alone.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Sibling {
    /// Name of the file.
    rfilename: String,
    /// Length.
    size: u64,
}

/// A file of a repository.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TreeEntry {
    /// Always `file`: a model's directory has no other in it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The start of its SHA-256, as long as Git's names are.
    oid: String,
    /// Length.
    size: u64,
    /// Its name.
    path: String,
    /// Its digest.
    lfs: LargeFile,
}

/// A file's digest and length.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LargeFile {
    /// SHA-256.
    oid: String,
    /// Length.
    size: u64,
    /// Always 0: nothing stands in for the file.
    pointer_size: u64,
}

/// Describes a repository at its commit.
#[utoipa::path(
    get,
    path = "/api/models/{owner}/{name}",
    operation_id = "hub_describe",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Always `detcon`."),
        ("name" = String, Path, description = "Name of the model."),
    ),
    responses(
        (status = 200, description = "What it is and its files.", body = RepositoryInfo),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 2]>, PathRejection>,
) -> Result<Json<RepositoryInfo>, Problem> {
    let [owner, name] = said(place);
    info(app, [owner, name, BRANCH.to_owned()]).await
}

/// The same at a revision.
#[utoipa::path(
    get,
    path = "/api/models/{owner}/{name}/revision/{revision}",
    operation_id = "hub_describe_at",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Always `detcon`."),
        ("name" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
    ),
    responses(
        (status = 200, description = "What it is and its files.", body = RepositoryInfo),
        (status = 404, description = "No such model or revision: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe_at(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 3]>, PathRejection>,
) -> Result<Json<RepositoryInfo>, Problem> {
    info(app, said(place)).await
}

/// Describes a repository whose owner is not named.
#[utoipa::path(
    get,
    path = "/api/models/{owner}",
    operation_id = "hub_describe_unowned",
    tag = "hub",
    params(("owner" = String, Path, description = "Name of the model.")),
    responses(
        (status = 200, description = "What it is and its files.", body = RepositoryInfo),
        (status = 404, description = "No such model.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe_unowned(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<RepositoryInfo>, Problem> {
    info(app, [OWNER.to_owned(), said(name), BRANCH.to_owned()]).await
}

/// The same at a revision.
#[utoipa::path(
    get,
    path = "/api/models/{owner}/revision/{revision}",
    operation_id = "hub_describe_unowned_at",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
    ),
    responses(
        (status = 200, description = "What it is and its files.", body = RepositoryInfo),
        (status = 404, description = "No such model or revision: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe_unowned_at(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 2]>, PathRejection>,
) -> Result<Json<RepositoryInfo>, Problem> {
    let [name, revision] = said(place);
    info(app, [OWNER.to_owned(), name, revision]).await
}

/// Lists a repository's files.
#[utoipa::path(
    get,
    path = "/api/models/{owner}/{name}/tree/{revision}",
    operation_id = "hub_tree",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Always `detcon`."),
        ("name" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
    ),
    responses(
        (status = 200, description = "The files.", body = Vec<TreeEntry>),
        (status = 404, description = "No such model or revision: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn tree(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 3]>, PathRejection>,
) -> Result<Json<Vec<TreeEntry>>, Problem> {
    entries(app, said(place)).await
}

/// Lists the files of a repository whose owner is not named.
#[utoipa::path(
    get,
    path = "/api/models/{owner}/tree/{revision}",
    operation_id = "hub_tree_unowned",
    tag = "hub",
    params(
        ("owner" = String, Path, description = "Name of the model."),
        ("revision" = String, Path, description = "`main`, or the model's commit."),
    ),
    responses(
        (status = 200, description = "The files.", body = Vec<TreeEntry>),
        (status = 404, description = "No such model or revision: `X-Error-Code` says which.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The model's directory cannot be read.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn tree_unowned(
    State(app): State<Arc<App>>,
    place: Result<Path<[String; 2]>, PathRejection>,
) -> Result<Json<Vec<TreeEntry>>, Problem> {
    let [name, revision] = said(place);
    entries(app, [OWNER.to_owned(), name, revision]).await
}

async fn info(app: Arc<App>, place: [String; 3]) -> Result<Json<RepositoryInfo>, Problem> {
    opened(app, place, |repository| {
        let manifest = repository.pinned.manifest();
        let files = repository.pinned.files();
        let siblings = files.map(|(name, entry)| Sibling {
            rfilename: name.to_owned(),
            size: entry.bytes,
        });
        let siblings: Vec<_> = siblings.collect();
        let for_timm = manifest.files.contains_key(file::TIMM_CONFIG);
        RepositoryInfo {
            id: repository.id(),
            model_id: repository.id(),
            sha: repository.commit().to_owned(),
            last_modified: manifest.created.clone(),
            private: false,
            gated: false,
            disabled: false,
            downloads: 0,
            likes: 0,
            tags: vec!["detcon".to_owned(), manifest.spec.to_string()],
            pipeline_tag: "image-feature-extraction",
            library_name: for_timm.then_some("timm"),
            siblings,
        }
    })
    .await
}

async fn entries(app: Arc<App>, place: [String; 3]) -> Result<Json<Vec<TreeEntry>>, Problem> {
    opened(app, place, |repository| {
        let files = repository.pinned.files();
        let entries = files.map(|(path, entry)| TreeEntry {
            kind: "file",
            oid: entry.sha256.chars().take(COMMIT).collect(),
            size: entry.bytes,
            path: path.to_owned(),
            lfs: LargeFile {
                oid: entry.sha256.clone(),
                size: entry.bytes,
                pointer_size: 0,
            },
        });
        entries.collect()
    })
    .await
}

async fn opened<T: Send + 'static>(
    app: Arc<App>,
    [owner, name, revision]: [String; 3],
    tell: impl FnOnce(&Repository) -> T + Send + 'static,
) -> Result<Json<T>, Problem> {
    let tell = move || Ok(tell(&Repository::open(&app, &owner, &name, &revision)?));
    blocking(tell).await.map(Json)
}
