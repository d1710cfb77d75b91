//! What `torch.save` wrote before PyTorch 1.6, and writes still when asked to: pickles one after another (a magic
//! number, the version of the format, facts of the machine, the object, the keys of its storages), and behind them each
//! storage: its number of elements, 8 bytes, and its bytes.

use super::{Container, TensorFile, TorchError};
use crate::archive::ArchiveError;
use crate::pickle::{self, ByteOrder, Globals, Limits, Storages, Text, Value};

/// The first two pickles, which are the same in every file: the magic number and version 1001 of the format.
pub(crate) const START: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
/// Bytes that a storage's number of elements takes.
const COUNT: usize = size_of::<u64>();

impl<'a> TensorFile<'a> {
    /// Reads the state dict in a file of PyTorch's before 1.6.
    pub fn from_legacy(bytes: &'a [u8], limits: &Limits) -> Result<Self, TorchError> {
        let start = object(bytes, limits)?;
        let (mut sizes, end) = pickle::storage_sizes(bytes, start, limits)?;
        let (keys, mut at) = pickle::parse_first(bytes, end, limits)?;
        let damaged = |offset| ArchiveError::Damaged { offset };
        let Value::List(keys) = keys else {
            return Err(damaged(end).into());
        };
        let mut storages = Vec::with_capacity(keys.len());
        for key in keys {
            let mut read = || {
                let Value::Str(Text::File(key)) = key else {
                    return None;
                };
                let (elements, length) = sizes.remove(key)?;
                let rest = bytes.get(at..)?;
                let (count, rest) = rest.split_first_chunk::<COUNT>()?;
                let data = rest.get(..length)?;
                (u64::from_le_bytes(*count) == elements as u64).then_some((key, data))
            };
            let (key, data) = read().ok_or(damaged(at))?;
            at += COUNT + data.len();
            storages.push((key, data));
        }
        if !sizes.is_empty() || at != bytes.len() {
            return Err(damaged(at).into());
        }
        let storages = Storages::new(storages, ByteOrder::Little);
        let pickle = bytes.get(..end).unwrap_or_default();
        let value = pickle::parse_with(pickle, start, limits, &storages)?;
        Self::from_value(Container::PyTorch, value)
    }

    /// Lists every global that the object's pickle in such a file names.
    pub fn legacy_globals(bytes: &'a [u8], limits: &Limits) -> Result<Globals<'a>, TorchError> {
        Ok(pickle::globals(bytes, object(bytes, limits)?, limits))
    }
}

/// Where the object's pickle starts: behind the facts of the machine, of which the order of bytes matters.
fn object(bytes: &[u8], limits: &Limits) -> Result<usize, TorchError> {
    let (machine, end) = pickle::parse_first(bytes, START.len(), limits)?;
    let little = match &machine {
        Value::Dict(pairs) => pairs.iter().any(|(key, value)| {
            key.as_text() == Some("little_endian") && *value == Value::Bool(true)
        }),
        _ => false,
    };
    if little {
        Ok(end)
    } else {
        Err(TorchError::ByteOrder)
    }
}
