//! What a pickle holds once it is read: plain data, as a tree. Its depth and size, shared values written out,
//! are within the limits it was read with, so code may walk it without care.

use std::sync::Arc;

use super::array::Array;
use super::dtype::DType;
use super::kind::Kind;
use super::shared::{Data, Text};

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Str(Text<'a>),
    /// Bytes; also what Python 2 calls a string.
    Bytes(Data<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A tuple.
    Tuple(Vec<Value<'a>>),
    /// A set, in the file's order.
    Set(Vec<Value<'a>>),
    /// A mapping of any class, in the file's order. No text or integer is a key twice.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// An array, NumPy's or JAX's. The 0-d object array that `numpy.save` puts around a mapping is not one: the
    /// object in it stands in its place.
    Array(Array<'a>),
    /// The type of an array's elements.
    Dtype(DType),
    /// An object that is no data, or its class: nothing of it was built.
    Opaque(Arc<ClassName<'a>>),
    /// A named tuple. The file does not hold the fields' names.
    NamedTuple {
        /// Its class.
        class: Arc<ClassName<'a>>,
        /// Its fields in their order.
        fields: Vec<Value<'a>>,
    },
}

/// The name of a class that the file mentions. Nothing of it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassName<'a> {
    /// Module, with dots.
    pub module: Text<'a>,
    /// Name in the module.
    pub name: Text<'a>,
}

impl Value<'_> {
    /// What the value is, for errors.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::None => Kind::None,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Str(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Tuple(_) => Kind::Tuple,
            Self::Set(_) => Kind::Set,
            Self::Dict(_) => Kind::Dict,
            Self::Array(_) => Kind::Array,
            Self::Dtype(_) => Kind::Dtype,
            Self::Opaque(_) => Kind::Opaque,
            Self::NamedTuple { .. } => Kind::NamedTuple,
        }
    }

    /// The value as text. Strings of Python 2, which are bytes, count where they are UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Set(_)
            | Self::Dict(_)
            | Self::Array(_)
            | Self::Dtype(_)
            | Self::Opaque(_)
            | Self::NamedTuple { .. } => None,
        }
    }
}

impl std::fmt::Display for ClassName<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = format!("{}.{}", self.module, self.name);
        out.write_str(&super::error::readable(&name))
    }
}
