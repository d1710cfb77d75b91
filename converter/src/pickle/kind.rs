//! What a value of a pickle is, as errors call it.

use std::fmt;

/// What a value on the unpickler's stack is, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `None`
    None,
    /// `True`, `False`
    Bool,
    /// An integer.
    Int,
    /// A float.
    Float,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A list.
    List,
    /// A tuple.
    Tuple,
    /// A set.
    Set,
    /// A mapping.
    Dict,
    /// An allowed constructor.
    Constructor,
    /// A data type.
    Dtype,
    /// An array.
    Array,
    /// A named tuple.
    NamedTuple,
    /// A storage of PyTorch's.
    Storage,
    /// An object that is no data, or that a listing of globals did not build.
    Opaque,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "None",
            Self::Bool => "a truth value",
            Self::Int => "an integer",
            Self::Float => "a float",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Tuple => "a tuple",
            Self::Set => "a set",
            Self::Dict => "a mapping",
            Self::Constructor => "a constructor",
            Self::Dtype => "a data type",
            Self::Array => "an array",
            Self::NamedTuple => "a named tuple",
            Self::Storage => "a torch storage",
            Self::Opaque => "an object",
        })
    }
}
