//! Objects that are no data: settings, paths, dates, devices, enum members, optimizers. Their classes are known by name
//! alone; nothing is called, built or given state, so that objects that hold themselves or each other without end cost
//! nothing. What could run code where Python reads the file is refused.

use std::sync::Arc;

use super::allow::Constructor;
use super::arena::{Node, NodeId};
use super::error::{PickleError, readable};
use super::machine::{Machine, Step};
use super::meaning::Call;
use super::value::ClassName;

impl<'a> Machine<'a, '_> {
    /// Calls what is no constructor: it gives an object that is not built, or it is refused.
    pub(super) fn call_foreign(&mut self, callee: NodeId) -> Step {
        let Node::Foreign(class, call) = self.arena.node(callee) else {
            return Err(PickleError::NotCallable {
                offset: self.offset,
                found: self.arena.node(callee).kind(),
            });
        };
        let class = Arc::clone(class);
        match call {
            Call::Inert => self.push(Node::Object(class)),
            Call::Unknown => Err(PickleError::UnknownCall {
                offset: self.arena.offset(callee),
                module: readable(&class.module),
                name: readable(&class.name),
            }),
        }
    }

    /// The class of a value that is named and not built.
    pub(super) fn foreign(&self, id: NodeId) -> Option<Arc<ClassName<'a>>> {
        match self.arena.node(id) {
            Node::Foreign(class, _) => Some(Arc::clone(class)),
            _ => None,
        }
    }

    /// Whether the value is an object that was not built.
    pub(super) fn unbuilt(&self, id: NodeId) -> Option<Arc<ClassName<'a>>> {
        match self.arena.node(id) {
            Node::Object(class) => Some(Arc::clone(class)),
            _ => None,
        }
    }

    /// `copyreg._reconstructor(class, base, state)` and `copyreg.__newobj__(class, …)` of a class that is not built.
    pub(super) fn new_foreign(&self, arguments: &[NodeId]) -> Option<Node<'a>> {
        self.foreign(*arguments.first()?).map(Node::Object)
    }

    /// `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes is the tensor; one of a
    /// class of its own is not built.
    pub(super) fn tensor_of_type(
        &mut self,
        arguments: &[NodeId],
    ) -> Result<Option<()>, PickleError> {
        let &[function, class, inner, _] = arguments else {
            return Ok(None);
        };
        let Some(class) = self.foreign(class) else {
            return Ok(None);
        };
        if !matches!(
            (&*class.module, &*class.name),
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter")
        ) {
            return self.push(Node::Object(class)).map(Some);
        }
        match self.arena.node(function) {
            Node::Constructor(Constructor::TorchTensor | Constructor::TorchParameter)
            | Node::Foreign(_, Call::Inert) => {
                let inner = self.arguments(inner)?;
                self.call(function, inner).map(Some)
            }
            _ => Ok(None),
        }
    }
}
