//! Reading a state dict: from PyTorch's archive by way of the unpickler, or from safetensors.

use std::collections::BTreeMap;

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::declared_spec;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::mapping::{Contents, Mapping};
use super::{Container, TensorFile, TorchError};
use crate::archive::{Archive, ArchiveError};
use crate::pickle::{
    self, Array, AxisOrder, ByteOrder, DType, Data, Encoding, Globals, Limits, Storages, Value,
    readable,
};

/// Things that an error lists.
const SHOWN: usize = 6;

impl<'a> TensorFile<'a> {
    /// Reads the state dict in a PyTorch archive.
    pub fn from_archive(bytes: &'a [u8], limits: &Limits) -> Result<Self, TorchError> {
        let archive = Archive::read(bytes)?;
        let (folder, place) = archive.pickle()?;
        let big = archive.member(&format!("{folder}byteorder")) == Some(b"big");
        let byte_order = if big {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        };
        let storages = Storages::new(archive.below(&format!("{folder}data/")), byte_order);
        let pickle = bytes.get(..place.end).unwrap_or_default();
        let value = pickle::parse_with(pickle, place.start, limits, &storages)?;
        Self::from_value(Container::PyTorch, value)
    }

    /// Lists every global that the archive's pickle names.
    pub fn globals(bytes: &'a [u8], limits: &Limits) -> Result<Globals<'a>, ArchiveError> {
        let (_, place) = Archive::read(bytes)?.pickle()?;
        let pickle = bytes.get(..place.end).unwrap_or_default();
        Ok(pickle::globals(pickle, place.start, limits))
    }

    /// Reads a safetensors file.
    pub fn from_safetensors(bytes: &'a [u8]) -> Result<Self, TorchError> {
        Self::from_shards(&[bytes], &[])
    }

    /// Reads a network that lies in several safetensors files, which must hold every one of `tensors`.
    pub fn from_shards(shards: &[&'a [u8]], tensors: &[String]) -> Result<Self, TorchError> {
        let mut entries = BTreeMap::new(); // a file's header has them in no order
        let mut declared = None;
        for bytes in shards {
            let (found, said) = safetensors(bytes)?;
            declared = declared.or(said);
            for (name, array) in found {
                let shown = readable(&name);
                if entries.insert(name, array).is_some() {
                    return Err(TorchError::Safetensors {
                        detail: format!("{shown} is in two shards"),
                    });
                }
            }
        }
        if let Some(name) = tensors.iter().find(|name| !entries.contains_key(*name)) {
            return Err(TorchError::Safetensors {
                detail: format!("{} is in no shard, and the index names it", readable(name)),
            });
        }
        Ok(Self {
            container: Container::Safetensors,
            mappings: vec![Mapping::of(entries)],
            beside: Vec::new(),
            declared,
        })
    }

    /// Every mapping of tensors in a value.
    pub fn from_value(container: Container, value: Value<'a>) -> Result<Self, TorchError> {
        match &value {
            Value::Opaque(class) => {
                return Err(TorchError::WholeObject {
                    class: class.to_string(),
                });
            }
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::NamedTuple { .. } => {}
            other => {
                return Err(TorchError::NotAStateDict {
                    found: other.kind(),
                });
            }
        }
        let Contents { mappings, beside } = Contents::of(value);
        if mappings.is_empty() {
            let rows = beside.into_iter().take(SHOWN);
            return Err(TorchError::NoTensors {
                found: rows
                    .map(|(keys, what)| format!("{} ({what})", keys.join(".")))
                    .collect(),
            });
        }
        Ok(Self {
            container,
            mappings,
            beside,
            declared: None,
        })
    }
}

/// Tensors with their names.
type Named<'a> = Vec<(String, Array<'a>)>;

/// The tensors of a safetensors file, and what it says of its network.
fn safetensors(bytes: &[u8]) -> Result<(Named<'_>, Option<ResNetSpec>), TorchError> {
    let damaged = |detail: String| TorchError::Safetensors { detail };
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let declared = header.metadata().as_ref().and_then(declared_spec);
    let declared = declared.transpose();
    let declared = declared.map_err(|detail| TorchError::Declared { detail })?;
    let mut entries = Vec::new();
    for (name, view) in file.iter() {
        let encoding = Encoding {
            dtype: dtype(view.dtype()).ok_or_else(|| TorchError::Dtype {
                name: readable(name),
                dtype: format!("{:?}", view.dtype()),
            })?,
            byte_order: ByteOrder::Little,
            axis_order: AxisOrder::C,
        };
        let array = Array::new(view.shape().to_vec(), encoding, Data::File(view.data()))
            .map_err(|error| damaged(error.to_string()))?;
        entries.push((name.to_owned(), array));
    }
    Ok((entries, declared))
}

const fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::U8 => DType::U8,
        Dtype::U16 => DType::U16,
        Dtype::U32 => DType::U32,
        Dtype::U64 => DType::U64,
        Dtype::BOOL => DType::Bool,
        _ => return None, // types of less than a byte, which the crate goes on adding
    })
}
