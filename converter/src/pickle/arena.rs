//! Where values live while a pickle is read. They refer to each other by index, so values that share parts,
//! nest without end or hold themselves cost no more than the opcodes that made them.

use std::sync::Arc;

use super::allow::Constructor;
use super::array::Array;
use super::dtype::{ByteOrder, DType};
use super::kind::Kind;
use super::meaning::Call;
use super::shared::{Data, Text};
use super::storage::Storage;
use super::value::ClassName;

/// The index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

/// What an array's elements are before it is known whether that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    Numbers(DType),
    Objects,
}

/// A data type that state may still give a byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    pub(super) elements: Elements,
    pub(super) byte_order: ByteOrder,
}

/// A value while the pickle is read.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text<'a>),
    Bytes(Data<'a>),
    List(Vec<NodeId>),
    Tuple(Vec<NodeId>),
    Set(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    Constructor(Constructor),
    /// An allowed class that makes named tuples.
    Class(Arc<ClassName<'a>>),
    Dtype(Dtype),
    /// An array that state has yet to fill.
    EmptyArray,
    Array(Box<Array<'a>>),
    /// A 0-d array of one object.
    Boxed(NodeId),
    NamedTuple(Arc<ClassName<'a>>, Vec<NodeId>),
    /// A storage of PyTorch's, which tensors are views of.
    Storage(Storage<'a>),
    /// A class or function that is named and not built.
    Foreign(Arc<ClassName<'a>>, Call),
    /// An object of one, which was not built.
    Object(Arc<ClassName<'a>>),
    /// In a listing of globals: the one with this number, before anything is made with it.
    Listed(usize),
    /// What a listing of globals puts in place of every object.
    Opaque,
}

impl Node<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::None => Kind::None,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Tuple(_) => Kind::Tuple,
            Self::Set(_) => Kind::Set,
            Self::Dict(_) => Kind::Dict,
            Self::Constructor(_) | Self::Class(_) => Kind::Constructor,
            Self::Dtype(_) => Kind::Dtype,
            Self::EmptyArray | Self::Array(_) | Self::Boxed(_) => Kind::Array,
            Self::NamedTuple(..) => Kind::NamedTuple,
            Self::Storage(_) => Kind::Storage,
            Self::Foreign(..) | Self::Object(_) | Self::Listed(_) | Self::Opaque => Kind::Opaque,
        }
    }

    /// Calls `visit` with every value that this one holds.
    pub(super) fn for_each_child(&self, mut visit: impl FnMut(NodeId)) {
        match self {
            Self::List(items)
            | Self::Tuple(items)
            | Self::Set(items)
            | Self::NamedTuple(_, items) => {
                items.iter().copied().for_each(visit);
            }
            Self::Dict(pairs) => pairs.iter().for_each(|&(key, value)| {
                visit(key);
                visit(value);
            }),
            Self::Boxed(item) => visit(*item),
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Constructor(_)
            | Self::Class(_)
            | Self::Dtype(_)
            | Self::EmptyArray
            | Self::Array(_)
            | Self::Storage(_)
            | Self::Foreign(..)
            | Self::Object(_)
            | Self::Listed(_)
            | Self::Opaque => {}
        }
    }
}

/// All values of a pickle with the offset of the opcode that made each.
#[derive(Default)]
pub(super) struct Arena<'a> {
    nodes: Vec<(Node<'a>, usize)>,
}

impl<'a> Arena<'a> {
    /// Adds a value; nothing if there are more than an index can count.
    pub(super) fn add(&mut self, node: Node<'a>, offset: usize) -> Option<NodeId> {
        let id = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push((node, offset));
        Some(NodeId(id))
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.index()].0
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<'a> {
        &mut self.nodes[id.index()].0
    }

    pub(super) fn offset(&self, id: NodeId) -> usize {
        self.nodes[id.index()].1
    }
}

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}
