//! The store as a Hugging Face Hub: its clients download checkpoints from here with `HF_ENDPOINT` set.
//!
//! A model `NAME` is the repository `detcon/NAME`, or `NAME` without an owner. It has one branch, `main`, and one
//! commit, which the manifest's SHA-256 names: what takes the model's place is another commit.

mod files;
mod info;

pub(crate) use files::{__path_resolve, __path_resolve_unowned, resolve, resolve_unowned};
pub(crate) use info::{
    __path_describe, __path_describe_at, __path_describe_unowned, __path_describe_unowned_at,
    __path_tree, __path_tree_unowned, describe, describe_at, describe_unowned, describe_unowned_at,
    tree, tree_unowned,
};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use detcon_core::model::ModelName;

use crate::api::App;
use crate::http::Problem;
use crate::models::ModelsError;
use crate::models::store::Pinned;

/// Owner of every repository.
const OWNER: &str = "detcon";
/// The branch.
const BRANCH: &str = "main";
/// Length of a commit's name.
const COMMIT: usize = 40;

/// A repository at its commit.
struct Repository {
    name: ModelName,
    pinned: Pinned,
}

impl Repository {
    /// Of this owner and name, which must be at this revision.
    fn open(app: &App, owner: &str, name: &str, revision: &str) -> Result<Self, Problem> {
        let known = ModelName::try_from(name.to_owned()).ok();
        let known = known.filter(|_| owner == OWNER);
        let name = known.ok_or_else(|| ModelsError::unknown(name))?;
        let pinned = app.store.pin(&name)?;
        let repository = Self { name, pinned };
        let digest = repository.pinned.digest();
        if [BRANCH, repository.commit(), digest].contains(&revision) {
            Ok(repository)
        } else {
            Err(Problem::UnknownRevision {
                name: repository.name.to_string(),
                revision: revision.chars().take(100).collect(),
            })
        }
    }

    /// Name of the commit: as long as Git's, since clients tell commits from branches by that.
    fn commit(&self) -> &str {
        let digest = self.pinned.digest();
        digest.get(..COMMIT).unwrap_or(digest)
    }

    /// Owner and name.
    fn id(&self) -> String {
        format!("{OWNER}/{}", self.name)
    }
}

/// What a path says; bytes that are no text say nothing that there is.
fn said<T: Default>(path: Result<Path<T>, PathRejection>) -> T {
    path.map_or_else(|_| T::default(), |Path(said)| said)
}
