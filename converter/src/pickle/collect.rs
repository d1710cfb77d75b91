//! Lists, tuples, sets and mappings: the part of the machine that makes and fills them.

use super::arena::{Node, NodeId};
use super::error::PickleError;
use super::machine::{Machine, Step};
use super::op::CollectOp;

impl Machine<'_, '_> {
    /// Lists, tuples, sets and mappings.
    pub(super) fn collect_op(&mut self, op: CollectOp) -> Step {
        match op {
            CollectOp::List => self
                .pop_mark()
                .and_then(|items| self.push(Node::List(items))),
            CollectOp::Tuple => self
                .pop_mark()
                .and_then(|items| self.push(Node::Tuple(items))),
            CollectOp::FrozenSet => self
                .pop_mark()
                .and_then(|items| self.push(Node::Set(items))),
            CollectOp::Dict => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Node::Dict(pairs))
            }
            CollectOp::ShortTuple(count) => {
                let items = self.pop_many(count)?;
                self.push(Node::Tuple(items))
            }
            CollectOp::Append => self.pop_many(1).and_then(|items| self.extend(items)),
            CollectOp::Appends | CollectOp::AddItems => {
                self.pop_mark().and_then(|items| self.extend(items))
            }
            CollectOp::SetItem => self.pop_many(2).and_then(|items| self.insert(&items)),
            CollectOp::SetItems => self.pop_mark().and_then(|items| self.insert(&items)),
        }
    }

    fn extend(&mut self, items: Vec<NodeId>) -> Step {
        let target = self.top()?;
        match self.arena.node_mut(target) {
            Node::List(all) | Node::Set(all) => {
                all.extend(items);
                Ok(())
            }
            Node::Object(_) | Node::Listed(_) | Node::Opaque => Ok(()),
            other => {
                let found = other.kind();
                Err(PickleError::WrongKind {
                    offset: self.offset,
                    found,
                })
            }
        }
    }

    fn insert(&mut self, items: &[NodeId]) -> Step {
        let pairs = self.pairs(items)?;
        let target = self.top()?;
        match self.arena.node_mut(target) {
            Node::Dict(all) => {
                all.extend(pairs);
                Ok(())
            }
            Node::Object(_) | Node::Listed(_) | Node::Opaque => Ok(()),
            other => {
                let found = other.kind();
                Err(PickleError::WrongKind {
                    offset: self.offset,
                    found,
                })
            }
        }
    }

    fn pairs(&self, items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.underflow());
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }
}
