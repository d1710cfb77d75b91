//! What calls and state make: the part of the machine that reads the arguments of allowed constructors. Each
//! accepts only what its library writes.

use std::sync::Arc;

use super::allow::{self, Constructor};
use super::arena::{Node, NodeId};
use super::dtype::DType;
use super::error::{Limit, PickleError};
use super::escape;
use super::machine::{Machine, Policy, Step};
use super::shared::Data;
use super::value::ClassName;

impl<'a> Machine<'a, '_> {
    /// Calls `callee`, which must be an allowed constructor, and pushes what it makes.
    pub(super) fn call(&mut self, callee: NodeId, arguments: Vec<NodeId>) -> Step {
        if let Policy::List(_) = self.policy {
            self.calls_listed(callee);
            return self.push(Node::Opaque);
        }
        match self.arena.node(callee) {
            Node::Class(class) => {
                let class = Arc::clone(class);
                self.push(Node::NamedTuple(class, arguments))
            }
            &Node::Constructor(constructor) => {
                self.construct(constructor, &arguments)?
                    .ok_or(PickleError::Arguments {
                        offset: self.offset,
                        constructor,
                    })
            }
            _ => self.call_foreign(callee),
        }
    }

    /// Nothing means that the arguments are not what the constructor's library writes.
    fn construct(
        &mut self,
        constructor: Constructor,
        arguments: &[NodeId],
    ) -> Result<Option<()>, PickleError> {
        let node = match constructor {
            Constructor::NumpyReconstruct => {
                self.empty_array(arguments).then_some(Node::EmptyArray)
            }
            Constructor::NumpyScalar => self.scalar(arguments)?,
            Constructor::NumpyFromBuffer => self.array_from_buffer(arguments)?,
            Constructor::NumpyDtype => self.dtype(arguments)?,
            Constructor::JaxArray | Constructor::DillArray => self.wrapped_array(arguments)?,
            Constructor::DillNamedTuple => self.class(arguments),
            Constructor::Mapping => return self.mapping(arguments),
            Constructor::DefaultDict => self.default_dict(arguments),
            Constructor::List => self.items_of(arguments)?.map(Node::List),
            Constructor::Tuple => self.items_of(arguments)?.map(Node::Tuple),
            Constructor::Set => self.items_of(arguments)?.map(Node::Set),
            Constructor::Bytes => self.bytes_of(arguments)?,
            Constructor::Encode => self.encode(arguments)?,
            Constructor::Reconstructor => match self.new_foreign(arguments) {
                Some(object) => Some(object),
                None => self.reconstruct(arguments)?,
            },
            Constructor::NewObject => self.new_foreign(arguments),
            Constructor::TorchTensor => self.tensor(arguments)?,
            Constructor::TorchParameter => return Ok(self.parameter(arguments)),
            Constructor::TorchFromType => return self.tensor_of_type(arguments),
            // Classes that are only ever arguments; the named tuple's is a `Node::Class`.
            Constructor::NumpyArray
            | Constructor::ScalarType(_)
            | Constructor::TorchStorage(_)
            | Constructor::NamedTuple => None,
        };
        node.map(|node| self.push(node)).transpose()
    }

    /// A mapping of a mapping is the mapping itself: its library never changes it afterwards.
    fn mapping(&mut self, arguments: &[NodeId]) -> Result<Option<()>, PickleError> {
        match arguments {
            [] => self.push(Node::Dict(Vec::new())).map(Some),
            &[only] => match self.arena.node(only) {
                Node::Dict(_) => {
                    self.push_again(only);
                    Ok(Some(()))
                }
                Node::List(items) | Node::Tuple(items) => {
                    let pairs: Option<Vec<_>> = items.iter().map(|&item| self.pair(item)).collect();
                    self.copy(pairs.as_ref().map_or(0, Vec::len))?;
                    pairs.map(|pairs| self.push(Node::Dict(pairs))).transpose()
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn pair(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        match self.arena.node(id) {
            Node::Tuple(items) | Node::List(items) => match items.as_slice() {
                &[key, value] => Some((key, value)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The constructor of default values is not kept: no value is ever missing here.
    fn default_dict(&self, arguments: &[NodeId]) -> Option<Node<'a>> {
        let allowed = match arguments {
            [] => true,
            &[factory] => matches!(
                self.arena.node(factory),
                Node::None | Node::Constructor(_) | Node::Foreign(..) | Node::Object(_)
            ),
            _ => false,
        };
        allowed.then(|| Node::Dict(Vec::new()))
    }

    fn items_of(&mut self, arguments: &[NodeId]) -> Result<Option<Vec<NodeId>>, PickleError> {
        match arguments {
            [] => Ok(Some(Vec::new())),
            &[only] => match self.arena.node(only) {
                Node::List(items) | Node::Tuple(items) => {
                    let items = items.clone();
                    self.copy(items.len()).map(|()| Some(items))
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn bytes_of(&mut self, arguments: &[NodeId]) -> Result<Option<Node<'a>>, PickleError> {
        match arguments {
            [] => Ok(Some(Node::Bytes(Data::File(&[])))),
            &[only] => Ok(self.data(only).map(Node::Bytes)),
            // How protocols 0 to 2 write a `bytearray`.
            [_, _] => self.encode(arguments),
            _ => Ok(None),
        }
    }

    /// Bytes that were written as Latin-1 text.
    fn encode(&mut self, arguments: &[NodeId]) -> Result<Option<Node<'a>>, PickleError> {
        let &[text, encoding] = arguments else {
            return Ok(None);
        };
        let (Node::Text(text), Some("latin1" | "latin-1")) =
            (self.arena.node(text), self.text(encoding))
        else {
            return Ok(None);
        };
        // A file that has a string decoded over and over grows; one that its library wrote shrinks.
        let (used, most) = self.decoded;
        let used = used.saturating_add(text.chars().count());
        if used > most {
            return Err(self.over(Limit::DecodedBytes, most as u64));
        }
        let bytes = escape::latin1(text);
        self.decoded.0 = used;
        Ok(bytes.map(|bytes| Node::Bytes(Data::Decoded(Arc::from(bytes)))))
    }

    /// `copyreg._reconstructor(class, tuple, items)` for a named tuple.
    fn reconstruct(&mut self, arguments: &[NodeId]) -> Result<Option<Node<'a>>, PickleError> {
        let &[class, base, items] = arguments else {
            return Ok(None);
        };
        match (
            self.arena.node(class),
            self.arena.node(base),
            self.arena.node(items),
        ) {
            (Node::Class(class), Node::Constructor(Constructor::Tuple), Node::Tuple(items)) => {
                let (class, items) = (Arc::clone(class), items.clone());
                self.copy(items.len())
                    .map(|()| Some(Node::NamedTuple(class, items)))
            }
            _ => Ok(None),
        }
    }

    /// `_create_namedtuple(name, fields, module, defaults)`: a class that must be on the allow-list itself.
    fn class(&self, arguments: &[NodeId]) -> Option<Node<'a>> {
        let &[name, fields, module, ref defaults @ ..] = arguments else {
            return None;
        };
        match (
            self.arena.node(name),
            self.tuple(fields),
            self.arena.node(module),
        ) {
            (Node::Text(name), Some(_), Node::Text(module)) if defaults.len() <= 1 => {
                let class = ClassName {
                    module: module.clone(),
                    name: name.clone(),
                };
                let allowed = allow::constructor(module, name) == Some(Constructor::NamedTuple);
                allowed.then(|| Node::Class(Arc::new(class)))
            }
            _ => None,
        }
    }

    /// Makes an object of a class: a named tuple, the only kind that is built.
    pub(super) fn new_object(&mut self, class: NodeId, arguments: NodeId) -> Step {
        if let Policy::List(_) = self.policy {
            return self.push(Node::Opaque);
        }
        if let Some(class) = self.foreign(class) {
            return self.push(Node::Object(class));
        }
        match self.arena.node(class) {
            Node::Class(_) => {
                let arguments = self.arguments(arguments)?;
                self.call(class, arguments)
            }
            other => Err(PickleError::NotCallable {
                offset: self.offset,
                found: other.kind(),
            }),
        }
    }

    /// Arguments by name: no allowed constructor is written with any.
    pub(super) fn without_names(&self, class: NodeId, names: NodeId) -> Step {
        if self.foreign(class).is_some() {
            return Ok(());
        }
        match (&self.policy, self.arena.node(names)) {
            (Policy::List(_), _) => Ok(()),
            (Policy::Build, Node::Dict(pairs)) if pairs.is_empty() => Ok(()),
            (Policy::Build, other) => Err(PickleError::WrongKind {
                offset: self.offset,
                found: other.kind(),
            }),
        }
    }

    pub(super) fn arguments(&mut self, id: NodeId) -> Result<Vec<NodeId>, PickleError> {
        match (&self.policy, self.arena.node(id)) {
            (Policy::List(_), _) => Ok(Vec::new()),
            (Policy::Build, Node::Tuple(items)) => {
                let items = items.clone();
                self.copy(items.len()).map(|()| items)
            }
            (Policy::Build, other) => Err(PickleError::WrongKind {
                offset: self.offset,
                found: other.kind(),
            }),
        }
    }

    /// Sets the state of an array or a data type.
    pub(super) fn set_state(&mut self, target: NodeId, state: NodeId) -> Step {
        if let Policy::List(_) = self.policy {
            return Ok(());
        }
        if self.unbuilt(target).is_some() || self.attributes_of_mapping(target, state) {
            return Ok(());
        }
        let (constructor, filled) = match self.arena.node(target) {
            Node::EmptyArray => (Constructor::NumpyReconstruct, self.filled_array(state)?),
            &Node::Dtype(dtype) => (Constructor::NumpyDtype, self.ordered_dtype(dtype, state)),
            other => {
                return Err(PickleError::NoState {
                    offset: self.offset,
                    found: other.kind(),
                });
            }
        };
        let node = filled.ok_or(PickleError::Arguments {
            offset: self.offset,
            constructor,
        })?;
        *self.arena.node_mut(target) = node;
        Ok(())
    }

    pub(super) fn tuple(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.arena.node(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: NodeId) -> Option<i64> {
        match self.arena.node(id) {
            &Node::Int(value) => Some(value),
            _ => None,
        }
    }

    /// A truth value, which older NumPy writes as 0 or 1.
    pub(super) fn flag(&self, id: NodeId) -> Option<bool> {
        match self.arena.node(id) {
            &Node::Bool(value) => Some(value),
            Node::Int(0) => Some(false),
            Node::Int(1) => Some(true),
            _ => None,
        }
    }

    /// Text, which Python 2 writes as bytes.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        match self.arena.node(id) {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn data(&self, id: NodeId) -> Option<Data<'a>> {
        match self.arena.node(id) {
            Node::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    pub(super) fn scalar_type(&self, id: NodeId) -> Option<DType> {
        match self.arena.node(id) {
            &Node::Constructor(Constructor::ScalarType(dtype)) => Some(dtype),
            _ => None,
        }
    }

    pub(super) fn is(&self, id: NodeId, constructor: Constructor) -> bool {
        matches!(self.arena.node(id), &Node::Constructor(found) if found == constructor)
    }
}
