//! One image of an input, before it is decoded.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use detcon_core::segment::SegmentMap;

use super::Items;
use crate::place::{Entry, Place, PlaceError};

/// An image, or why there is none.
pub type Item = Result<Found, Unusable>;

/// An image of the input.
#[derive(Clone, Debug)]
pub struct Found {
    /// What tells it from others.
    pub id: String,
    /// Where it is in the input.
    pub path: String,
    /// Its class, as the input has it.
    pub label: Option<String>,
    /// The JSON text that comes with it.
    pub json: Option<String>,
    /// The encoded image.
    pub image: Image,
    /// The mask that comes with it.
    pub mask: Option<Given>,
}

/// An encoded image.
#[derive(Clone, Debug)]
pub enum Image {
    /// In memory.
    Here(Bytes),
    /// In a file that is still to be read.
    At {
        /// Where.
        place: Place,
        /// The file.
        name: String,
    },
}

/// A mask that comes with an image.
#[derive(Clone, Debug)]
pub enum Given {
    /// A label map.
    Map(SegmentMap),
    /// An encoded one.
    Png(Bytes),
}

/// Something that is no image that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Where it is in the input.
    pub path: String,
    /// Why it could not be used.
    pub reason: String,
}

impl Found {
    /// A file of a place, below a folder of it: its name there is its id, and the first folder its class.
    pub(super) fn file(place: &Place, folder: &str, file: Entry) -> Self {
        let below = below(folder, &file.name).to_owned();
        Self {
            label: below.split_once('/').map(|(class, _)| class.to_owned()),
            id: below.clone(),
            path: below,
            json: None,
            image: Image::At {
                place: Arc::clone(place),
                name: file.name,
            },
            mask: None,
        }
    }
}

/// A file's name below a folder.
pub(super) fn below<'n>(folder: &str, name: &'n str) -> &'n str {
    let below = name.strip_prefix(folder).unwrap_or(name);
    below.trim_start_matches('/')
}

/// One item alone.
pub(super) fn one(item: Result<Item, PlaceError>) -> Items {
    Box::new(std::iter::once(item))
}

/// Items without those whose id was there before, which cannot be used.
pub(super) fn distinct(
    items: impl Iterator<Item = Result<Item, PlaceError>>,
) -> impl Iterator<Item = Result<Item, PlaceError>> {
    let mut seen = HashSet::new();
    items.map(move |item| match item {
        Ok(Ok(found)) if !seen.insert(found.id.clone()) => Ok(Err(Unusable {
            id: Some(found.id),
            path: found.path,
            reason: "An image before it has the same id.".to_owned(),
        })),
        other => other,
    })
}
