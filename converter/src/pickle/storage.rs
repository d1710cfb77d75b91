//! PyTorch's storages, the memory that its tensors are views of: they lie beside the pickle, which names them by
//! persistent ids.

use std::collections::{BTreeMap, HashMap};

use super::dtype::{ByteOrder, Encoding};

/// The storages of an archive, by key.
#[derive(Clone, Debug)]
pub struct Storages<'a> {
    pub(super) by_key: HashMap<&'a str, &'a [u8]>,
    pub(super) byte_order: ByteOrder,
    /// Bytes of all of them.
    pub(super) total: usize,
}

impl<'a> Storages<'a> {
    /// Storages by key, whose elements have `byte_order`.
    #[must_use]
    pub fn new(
        storages: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        byte_order: ByteOrder,
    ) -> Self {
        let by_key: HashMap<_, _> = storages.into_iter().collect();
        let total = by_key.values().map(|bytes: &&[u8]| bytes.len()).sum();
        Self {
            by_key,
            byte_order,
            total,
        }
    }
}

/// Elements and bytes of each storage that persistent ids name.
pub type StorageSizes = BTreeMap<String, (usize, usize)>;

/// What persistent ids name.
pub(super) enum Outside<'a, 'l> {
    /// Nothing: a pickle by itself.
    Nothing,
    /// Storages that are at hand.
    Storages(&'l Storages<'a>),
    /// Storages that are yet to be found: what is asked of them is taken down, and tensors are made of none.
    Sizes(StorageSizes),
}

/// A storage and the type of its elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) encoding: Encoding,
}

/// A view that was copied out of its storage: where that begins in memory, and which elements.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Gathered {
    pub(super) storage: usize,
    pub(super) start: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) size: usize,
}
