//! The unpickler's stack machine. It executes nothing: a global is looked up in the allow-list where it is
//! named, and calling one builds a value. Whatever else a pickle asks for is an error.

use std::collections::HashMap;
use std::sync::Arc;

use super::allow::Constructor;
use super::arena::{Arena, Node, NodeId};
use super::error::{Limit, PickleError, readable};
use super::limits::Limits;
use super::meaning::{Call, Meaning, meaning};
use super::op::{ObjectOp, Op};
use super::reader::Reader;
use super::shared::{Data, Text};
use super::storage::{Gathered, Outside};
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
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a global that a pickle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is on the allow-list, and makes data.
    Allowed,
    /// It makes objects that are no data: they are left out.
    Opaque,
    /// It could run code: the file is refused.
    Refused,
}

/// What becomes of globals and of the objects they make.
pub(super) enum Policy<'a> {
    /// Allowed ones make data, others objects that are not built; what could run code ends the reading.
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
    /// Bytes of tensors that were copied out of their storages.
    pub(super) gathered: usize,
    /// Those tensors.
    pub(super) views: HashMap<Gathered, Data<'a>>,
    /// What persistent ids name.
    pub(super) outside: Outside<'a, 'l>,
    pub(super) stack: Vec<NodeId>,
    /// Heights of the stack at each mark that is still open.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, NodeId>,
}

pub(super) type Step = Result<(), PickleError>;

impl<'a, 'l> Machine<'a, 'l> {
    pub(super) fn new(limits: &'l Limits, policy: Policy<'a>) -> Self {
        Self {
            arena: Arena::default(),
            limits,
            policy,
            offset: 0,
            decoded: (0, 0),
            copied: 0,
            gathered: 0,
            views: HashMap::new(),
            outside: Outside::Nothing,
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
            match op {
                Op::Stop => return self.finish(),
                Op::Push(node) => self.push(node)?,
                Op::Stack(op) => self.stack_op(op)?,
                Op::Collect(op) => self.collect_op(op)?,
                Op::Object(op) => self.object_op(op)?,
            }
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

    /// Globals and what is made with them.
    fn object_op(&mut self, op: ObjectOp<'a>) -> Step {
        match op {
            ObjectOp::Global(module, name) => self.global(module, name),
            ObjectOp::StackGlobal => self.stack_global(),
            ObjectOp::Instance(module, name) => self.instance(module, name),
            ObjectOp::Object => self.instance_of_first(),
            ObjectOp::Reduce => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let arguments = self.arguments(arguments)?;
                self.call(callee, arguments)
            }
            ObjectOp::NewObject => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.new_object(callee, arguments)
            }
            ObjectOp::NewObjectWithNames => {
                let (names, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.without_names(callee, names)?;
                self.new_object(callee, arguments)
            }
            ObjectOp::Build => {
                let (state, target) = (self.pop()?, self.top()?);
                self.set_state(target, state)
            }
            ObjectOp::Extension(code) => self.extension(code),
            ObjectOp::PersistentId => self.outside(PickleError::PersistentId {
                offset: self.offset,
            }),
            ObjectOp::PersistentIdOnStack => {
                let id = self.pop()?;
                match self.policy {
                    Policy::Build => self.storage(id),
                    Policy::List(_) => self.push(Node::Opaque),
                }
            }
            ObjectOp::NextBuffer => self.outside(PickleError::OutOfBandBuffer {
                offset: self.offset,
            }),
            ObjectOp::ReadonlyBuffer => Err(PickleError::OutOfBandBuffer {
                offset: self.offset,
            }),
        }
    }

    /// The one place where a global is looked up.
    fn global(&mut self, module: Text<'a>, name: Text<'a>) -> Step {
        let meaning = meaning(&module, &name);
        let offset = self.offset;
        if let Policy::List(uses) = &mut self.policy {
            let number = uses.len();
            uses.push(GlobalUse {
                module,
                name,
                offset,
                verdict: match meaning {
                    Meaning::Data(_) => Verdict::Allowed,
                    Meaning::Foreign(_) => Verdict::Opaque,
                    Meaning::Forbidden => Verdict::Refused,
                },
            });
            return self.push(Node::Listed(number));
        }
        match meaning {
            Meaning::Data(Constructor::NamedTuple) => {
                self.push(Node::Class(Arc::new(ClassName { module, name })))
            }
            Meaning::Data(constructor) => self.push(Node::Constructor(constructor)),
            Meaning::Foreign(call) => {
                self.push(Node::Foreign(Arc::new(ClassName { module, name }), call))
            }
            Meaning::Forbidden => {
                let (module, name) = (readable(&module), readable(&name));
                Err(PickleError::ForbiddenGlobal {
                    offset,
                    module,
                    name,
                })
            }
        }
    }

    /// In a listing: a call of something that nobody knows could run code.
    pub(super) fn calls_listed(&mut self, callee: NodeId) {
        if let (&Node::Listed(number), Policy::List(uses)) =
            (self.arena.node(callee), &mut self.policy)
            && let Some(named) = uses.get_mut(number)
            && meaning(&named.module, &named.name) == Meaning::Foreign(Call::Unknown)
        {
            named.verdict = Verdict::Refused;
        }
    }

    /// Calls a global with everything down to the last mark.
    fn instance(&mut self, module: Text<'a>, name: Text<'a>) -> Step {
        let arguments = self.pop_mark()?;
        self.global(module, name)?;
        let callee = self.pop()?;
        self.call(callee, arguments)
    }

    /// Calls the first value above the last mark with the others.
    fn instance_of_first(&mut self) -> Step {
        let values = self.pop_mark()?;
        let (&callee, arguments) = values.split_first().ok_or_else(|| self.underflow())?;
        self.call(callee, arguments.to_vec())
    }

    fn stack_global(&mut self) -> Step {
        let (name, module) = (self.pop()?, self.pop()?);
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
                    verdict: Verdict::Refused,
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

    /// Counts values that a call copies out of its arguments. What a library writes is copied once; a file that
    /// has one list copied over and over grows.
    pub(super) fn copy(&mut self, items: usize) -> Step {
        self.copied = self.copied.saturating_add(items as u64);
        if self.copied > self.limits.values {
            return Err(self.over(Limit::Values, self.limits.values));
        }
        Ok(())
    }

    pub(super) fn underflow(&self) -> PickleError {
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
