//! The Open Inference Protocol, version 2, with Triton's extensions: binary tensors, model configuration, statistics
//! and the model repository.
//!
//! A model takes one of three inputs (`contract.rs` is the table): encoded images, which are preprocessed as
//! everywhere, or the network's input itself, as pixels or normalized. It gives its embedding and the features of its
//! stages. Errors are `{"error": …}`.

mod binary;
mod configuration;
mod contract;
mod infer;
mod input;
mod model;
mod outputs;
mod repository;
mod request;
mod server;
mod statistics;

pub(crate) use configuration::{
    __path_config, __path_config_of_version, config, config_of_version,
};
pub(crate) use infer::{__path_infer, __path_infer_version, infer, infer_version};
pub(crate) use model::{
    __path_metadata, __path_metadata_of_version, __path_ready, __path_version_ready, metadata,
    metadata_of_version, ready, version_ready,
};
pub(crate) use repository::{__path_index, __path_load, __path_unload, index, load, unload};
pub(crate) use server::{
    __path_live, __path_server_metadata, __path_server_ready, live, server_metadata, server_ready,
};
pub(crate) use statistics::{
    __path_all_statistics, __path_statistics, __path_version_statistics, all_statistics,
    statistics, version_statistics,
};

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde::Deserialize;

use crate::api::App;
use crate::http::{Problem, invalid};
use crate::models::Model;

/// The version of every model: what takes a model's place has its name and this version too.
const VERSION: &str = "1";

/// The model of a path.
fn model_of(app: &App, name: Result<Path<String>, PathRejection>) -> Result<Arc<Model>, Problem> {
    Ok(app.registry.find(Some(&said(name)))?)
}

/// The model of a path that names a version too.
fn version_of(
    app: &App,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Arc<Model>, Problem> {
    let (name, version) = said(place);
    let model = app.registry.find(Some(&name))?;
    if version == VERSION {
        Ok(model)
    } else {
        Err(Problem::UnknownVersion {
            version: version.chars().take(100).collect(),
        })
    }
}

/// Reads a JSON object. A list of its fields' values, which serde would take for it, is none.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    if json.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid(
            "request",
            "it is a list, and an object is expected",
        ));
    }
    serde_json::from_slice(json).map_err(|error| {
        let detail = error.to_string();
        if error.is_data() {
            invalid("request", detail)
        } else {
            Problem::MalformedJson { detail }
        }
    })
}

/// What a path says; bytes that are no text name nothing that there is.
fn said<T: Default>(path: Result<Path<T>, PathRejection>) -> T {
    path.map_or_else(|_| T::default(), |Path(said)| said)
}

#[cfg(test)]
mod tests;
