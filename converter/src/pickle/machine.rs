//! The unpickler's stack machine. It executes nothing: a global is looked up in the allow-list where it is
//! named, and calling one builds a value. Whatever else a pickle asks for is an error.

use std::collections::HashMap;
use std::sync::Arc;

use super::allow::{self, Constructor};
use super::arena::{Arena, Node, NodeId};
use super::error::{Limit, PickleError, readable};
use super::limits::Limits;
use super::op::{Op, Reader};
use super::shared::Text;
use super::value::ClassName;

/// A global that a pickle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalUse<'a> {
    /// Its module, as the file has it; `copyreg extension` for an entry of the extension registry.
    pub module: Text<'a>,
    /// Its name, or its code in the extension registry.
    pub name: Text<'a>,
    /// Where it is named, from the start of the file.
    pub offset: usize,
    /// Whether it is on the allow-list.
    pub allowed: bool,
}

/// What becomes of globals and of the objects they make.
pub(super) enum Policy<'a> {
    /// Allowed ones make data; any other ends the reading.
    Build,
    /// All are listed; nothing is made.
    List(Vec<GlobalUse<'a>>),
}

/// The state of the machine between two opcodes.
pub(super) struct Machine<'a, 'l> {
    pub(super) arena: Arena<'a>,
    pub(super) limits: &'l Limits,
    pub(super) policy: Policy<'a>,
    /// Offset of the opcode at work.
    pub(super) offset: usize,
    /// Bytes decoded from strings so far, and the most: what the file has.
    pub(super) decoded: (usize, usize),
    /// Values that calls have copied out of their arguments.
    copied: u64,
    stack: Vec<NodeId>,
    /// Heights of the stack at each mark that is still open.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

type Step = Result<(), PickleError>;

impl<'a, 'l> Machine<'a, 'l> {
    pub(super) fn new(limits: &'l Limits, policy: Policy<'a>) -> Self {
        Self {
            arena: Arena::default(),
            limits,
            policy,
            offset: 0,
            decoded: (0, 0),
            copied: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Runs to the end of the pickle and gives back the value it leaves.
    pub(super) fn run(&mut self, reader: &mut Reader<'a>) -> Result<NodeId, PickleError> {
        self.decoded.1 = reader.remaining();
        for _ in 0..self.limits.opcodes {
            let (offset, op) = reader.next_op()?;
            self.offset = offset;
            if matches!(op, Op::Stop) {
                return self.finish();
            }
            self.step(op)?;
        }
        self.offset = reader.position();
        Err(self.over(Limit::Opcodes, self.limits.opcodes as u64))
    }

    fn finish(&mut self) -> Result<NodeId, PickleError> {
        let root = self.pop()?;
        match self.stack.len() + self.marks.len() {
            0 => Ok(root),
            count => Err(PickleError::LeftOver {
                offset: self.offset,
                count,
            }),
        }
    }

    fn step(&mut self, op: Op<'a>) -> Step {
        match op {
            // `run` ends at it.
            Op::Stop => Ok(()),
            Op::Mark => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            Op::Pop => self.discard(),
            Op::PopMark => self.pop_mark().map(drop),
            Op::Duplicate => self.top().map(|id| self.stack.push(id)),
            Op::None => self.push(Node::None),
            Op::Bool(value) => self.push(Node::Bool(value)),
            Op::Int(value) => self.push(Node::Int(value)),
            Op::Float(value) => self.push(Node::Float(value)),
            Op::Text(text) => self.push(Node::Text(text)),
            Op::Bytes(bytes) => self.push(Node::Bytes(bytes)),
            Op::EmptyList
            | Op::EmptyTuple
            | Op::EmptyDict
            | Op::EmptySet
            | Op::List
            | Op::Tuple
            | Op::Dict
            | Op::FrozenSet
            | Op::ShortTuple(_)
            | Op::Append
            | Op::Appends
            | Op::SetItem
            | Op::SetItems
            | Op::AddItems => self.collect(&op),
            Op::Put(entry) => self.store(entry),
            Op::Memoize => self.store(self.memo.len() as u64),
            Op::Get(entry) => self.recall(entry),
            Op::Global(..)
            | Op::StackGlobal
            | Op::Instance(..)
            | Op::Object
            | Op::Reduce
            | Op::Build
            | Op::NewObject
            | Op::NewObjectWithNames
            | Op::Extension(_)
            | Op::PersistentId
            | Op::PersistentIdOnStack
            | Op::NextBuffer
            | Op::ReadonlyBuffer => self.object(op),
        }
    }

    /// Lists, tuples, sets and mappings.
    fn collect(&mut self, op: &Op<'a>) -> Step {
        match op {
            Op::EmptyList => self.push(Node::List(Vec::new())),
            Op::EmptyTuple => self.push(Node::Tuple(Vec::new())),
            Op::EmptyDict => self.push(Node::Dict(Vec::new())),
            Op::EmptySet => self.push(Node::Set(Vec::new())),
            Op::List => self
                .pop_mark()
                .and_then(|items| self.push(Node::List(items))),
            Op::Tuple => self
                .pop_mark()
                .and_then(|items| self.push(Node::Tuple(items))),
            Op::FrozenSet => self
                .pop_mark()
                .and_then(|items| self.push(Node::Set(items))),
            Op::Dict => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Node::Dict(pairs))
            }
            Op::ShortTuple(count) => {
                let items = self.pop_many(*count)?;
                self.push(Node::Tuple(items))
            }
            Op::Append => self.pop_many(1).and_then(|items| self.extend(items)),
            Op::Appends | Op::AddItems => self.pop_mark().and_then(|items| self.extend(items)),
            Op::SetItem => self.pop_many(2).and_then(|items| self.insert(&items)),
            Op::SetItems => self.pop_mark().and_then(|items| self.insert(&items)),
            _ => unreachable!("`step` passes on collections alone"),
        }
    }

    /// Globals and what is made with them.
    fn object(&mut self, op: Op<'a>) -> Step {
        match op {
            Op::Global(module, name) => self.global(module, name),
            Op::StackGlobal => {
                let names = self.pop_many(2)?;
                match names.as_slice() {
                    &[module, name] => self.stack_global(module, name),
                    _ => Err(self.underflow()),
                }
            }
            Op::Instance(module, name) => {
                let arguments = self.pop_mark()?;
                self.global(module, name)?;
                let callee = self.pop()?;
                self.call(callee, arguments)
            }
            Op::Object => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(self.underflow());
                }
                let callee = arguments.remove(0);
                self.call(callee, arguments)
            }
            Op::Reduce => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let arguments = self.arguments(arguments)?;
                self.call(callee, arguments)
            }
            Op::NewObject => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.new_object(callee, arguments)
            }
            Op::NewObjectWithNames => {
                let (names, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.without_names(names)?;
                self.new_object(callee, arguments)
            }
            Op::Build => {
                let (state, target) = (self.pop()?, self.top()?);
                self.set_state(target, state)
            }
            Op::Extension(code) => self.extension(code),
            Op::PersistentId => self.outside(PickleError::PersistentId {
                offset: self.offset,
            }),
            Op::PersistentIdOnStack => {
                self.pop()?;
                self.outside(PickleError::PersistentId {
                    offset: self.offset,
                })
            }
            Op::NextBuffer => self.outside(PickleError::OutOfBandBuffer {
                offset: self.offset,
            }),
            Op::ReadonlyBuffer => Err(PickleError::OutOfBandBuffer {
                offset: self.offset,
            }),
            _ => unreachable!("`step` passes on objects alone"),
        }
    }

    /// The one place where a global is looked up.
    fn global(&mut self, module: Text<'a>, name: Text<'a>) -> Step {
        let constructor = allow::constructor(&module, &name);
        let offset = self.offset;
        if let Policy::List(uses) = &mut self.policy {
            uses.push(GlobalUse {
                module,
                name,
                offset,
                allowed: constructor.is_some(),
            });
            return self.push(Node::Opaque);
        }
        match constructor {
            Some(Constructor::NamedTuple) => {
                self.push(Node::Class(Arc::new(ClassName { module, name })))
            }
            Some(constructor) => self.push(Node::Constructor(constructor)),
            None => {
                let (module, name) = (readable(&module), readable(&name));
                Err(PickleError::ForbiddenGlobal {
                    offset,
                    module,
                    name,
                })
            }
        }
    }

    fn stack_global(&mut self, module: NodeId, name: NodeId) -> Step {
        let (Node::Text(module), Node::Text(name)) =
            (self.arena.node(module), self.arena.node(name))
        else {
            return self.outside(PickleError::GlobalNotText {
                offset: self.offset,
            });
        };
        if module.len().max(name.len()) > self.limits.name_bytes {
            return Err(self.over(Limit::NameBytes, self.limits.name_bytes as u64));
        }
        let (module, name) = (module.clone(), name.clone());
        self.global(module, name)
    }

    fn extension(&mut self, code: u32) -> Step {
        let offset = self.offset;
        match &mut self.policy {
            Policy::Build => Err(PickleError::Extension { offset, code }),
            Policy::List(uses) => {
                let module = Text::File("copyreg extension");
                let name = Text::Decoded(Arc::from(code.to_string()));
                uses.push(GlobalUse {
                    module,
                    name,
                    offset,
                    allowed: false,
                });
                self.push(Node::Opaque)
            }
        }
    }

    /// Something that the file does not hold: an error, unless globals are only listed.
    fn outside(&mut self, error: PickleError) -> Step {
        match self.policy {
            Policy::Build => Err(error),
            Policy::List(_) => self.push(Node::Opaque),
        }
    }

    fn store(&mut self, entry: u64) -> Step {
        let id = self.top()?;
        self.memo.insert(entry, id);
        if self.memo.len() > self.limits.memo_entries {
            return Err(self.over(Limit::MemoEntries, self.limits.memo_entries as u64));
        }
        Ok(())
    }

    fn recall(&mut self, entry: u64) -> Step {
        let id = *self.memo.get(&entry).ok_or(PickleError::UnknownMemo {
            offset: self.offset,
            entry,
        })?;
        self.stack.push(id);
        Ok(())
    }

    fn extend(&mut self, items: Vec<NodeId>) -> Step {
        let target = self.top()?;
        match self.arena.node_mut(target) {
            Node::List(all) | Node::Set(all) => {
                all.extend(items);
                Ok(())
            }
            Node::Opaque => Ok(()),
            other => Err(PickleError::WrongKind {
                offset: self.offset,
                found: other.kind(),
            }),
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
            Node::Opaque => Ok(()),
            other => Err(PickleError::WrongKind {
                offset: self.offset,
                found: other.kind(),
            }),
        }
    }

    fn pairs(&self, items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.underflow());
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Step {
        let too_many = self.over(Limit::Opcodes, u64::from(u32::MAX));
        let id = self.arena.add(node, self.offset).ok_or(too_many)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_again(&mut self, id: NodeId) {
        self.stack.push(id);
    }

    /// What is above the last mark may be taken; what is below it belongs to whoever takes the mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn top(&self) -> Result<NodeId, PickleError> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.underflow())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, PickleError> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= self.floor());
        start
            .map(|start| self.stack.split_off(start))
            .ok_or_else(|| self.underflow())
    }

    fn pop_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let start = self.marks.pop().ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(start))
    }

    /// Pops a value or, where none is above it, a mark.
    fn discard(&mut self) -> Step {
        if self.stack.len() > self.floor() {
            self.stack.pop();
            return Ok(());
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    /// Counts values that a call copies out of its arguments. What a library writes is copied once; a file that
    /// has one list copied over and over grows.
    pub(super) fn copy(&mut self, items: usize) -> Step {
        self.copied = self.copied.saturating_add(items as u64);
        if self.copied > self.limits.values {
            return Err(self.over(Limit::Values, self.limits.values));
        }
        Ok(())
    }

    fn underflow(&self) -> PickleError {
        PickleError::StackUnderflow {
            offset: self.offset,
        }
    }

    pub(super) fn over(&self, limit: Limit, allowed: u64) -> PickleError {
        PickleError::Limit {
            offset: self.offset,
            limit,
            allowed,
        }
    }
}
