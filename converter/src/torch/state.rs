//! Reading a state dict: from PyTorch's archive by way of the unpickler, or from safetensors.

use detcon_core::checkpoint::declared_spec;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::archive::{Archive, ArchiveError};
use super::{Container, StateDict, TorchError};
use crate::pickle::{
    self, Array, AxisOrder, ByteOrder, DType, Data, Encoding, Globals, Limits, Storages, Value,
    readable,
};

/// Keys under which training code saves a state dict.
const WRAPPERS: [&str; 7] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "backbone",
];
/// Why what lies beside it is not used.
const BESIDE: &str = "beside the state dict: not a weight";
/// Why a state dict's entry is not used.
const NO_TENSOR: &str = "no tensor";
/// Names that an error lists.
const SHOWN: usize = 6;

impl<'a> StateDict<'a> {
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
        Self::from_value(value)
    }

    /// Lists every global that the archive's pickle names.
    pub fn globals(bytes: &'a [u8], limits: &Limits) -> Result<Globals<'a>, ArchiveError> {
        let (_, place) = Archive::read(bytes)?.pickle()?;
        let pickle = bytes.get(..place.end).unwrap_or_default();
        Ok(pickle::globals(pickle, place.start, limits))
    }

    /// Reads a safetensors file.
    pub fn from_safetensors(bytes: &'a [u8]) -> Result<Self, TorchError> {
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
        entries.sort_by(|a, b| a.0.cmp(&b.0)); // the file's header has them in no order
        Ok(Self {
            container: Container::Safetensors,
            wrapper: None,
            entries,
            set_aside: Vec::new(),
            declared,
        })
    }

    pub(super) fn from_value(value: Value<'a>) -> Result<Self, TorchError> {
        let mut state = Self {
            container: Container::PyTorch,
            wrapper: None,
            entries: Vec::new(),
            set_aside: Vec::new(),
            declared: None,
        };
        let mut value = value;
        loop {
            let pairs = match value {
                Value::Dict(pairs) => pairs,
                other => {
                    return Err(TorchError::NotAStateDict {
                        found: other.kind(),
                    });
                }
            };
            if pairs
                .iter()
                .any(|(_, value)| matches!(value, Value::Array(_)))
            {
                state.fill(pairs);
                return Ok(state);
            }
            value = state.unwrap(pairs)?;
        }
    }

    /// The mapping under the one key that is a wrapper's; what lies beside it is set aside.
    fn unwrap(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Result<Value<'a>, TorchError> {
        let shown = pairs.iter().take(SHOWN).map(|(key, _)| text(key)).collect();
        let (inner, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, value)| {
            matches!(value, Value::Dict(_))
                && key.as_text().is_some_and(|key| WRAPPERS.contains(&key))
        });
        self.set_aside
            .extend(rest.iter().map(|(key, _)| (text(key), BESIDE)));
        let mut inner = inner.into_iter();
        match (inner.next(), inner.next()) {
            (None, _) => Err(TorchError::NoTensors { keys: shown }),
            (Some((key, value)), None) => {
                let key = text(&key);
                self.wrapper = Some(match &self.wrapper {
                    Some(outer) => format!("{outer}.{key}"),
                    None => key,
                });
                Ok(value)
            }
            (Some((first, _)), Some((second, _))) => {
                let more = inner.map(|(key, _)| text(&key));
                let keys = [text(&first), text(&second)]
                    .into_iter()
                    .chain(more)
                    .collect();
                Err(TorchError::SeveralStateDicts { keys })
            }
        }
    }

    fn fill(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) {
        for (key, value) in pairs {
            match (key.as_text(), value) {
                (Some(name), Value::Array(array)) => self.entries.push((name.to_owned(), array)),
                _ => self.set_aside.push((text(&key), NO_TENSOR)),
            }
        }
    }
}

fn text(key: &Value<'_>) -> String {
    readable(key.as_text().unwrap_or("a key that is no text"))
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
