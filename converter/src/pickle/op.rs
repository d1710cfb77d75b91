//! The instructions of pickle protocols 0 to 5, by what they work on.

use super::arena::Node;
use super::shared::Text;

/// One instruction of the unpickler's stack machine.
#[derive(Debug)]
pub(super) enum Op<'a> {
    /// Ends the pickle; the value on the stack is the result.
    Stop,
    /// Pushes a value that the instruction holds.
    Push(Node<'a>),
    Stack(StackOp),
    Collect(CollectOp),
    Object(ObjectOp<'a>),
}

/// Works on the stack and the memo alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum StackOp {
    Mark,
    Pop,
    PopMark,
    Duplicate,
    Put(u64),
    Memoize,
    Get(u64),
}

/// Makes or fills a list, tuple, set or mapping.
#[derive(Clone, Copy, Debug)]
pub(super) enum CollectOp {
    /// `List` to `FrozenSet` take everything down to the last mark.
    List,
    Tuple,
    Dict,
    FrozenSet,
    /// A tuple of the last one, two or three values.
    ShortTuple(usize),
    Append,
    Appends,
    SetItem,
    SetItems,
    AddItems,
}

/// Names a global, makes an object with one, or refers to something outside the file.
#[derive(Debug)]
pub(super) enum ObjectOp<'a> {
    Global(Text<'a>, Text<'a>),
    StackGlobal,
    /// A global called with everything down to the last mark.
    Instance(Text<'a>, Text<'a>),
    /// The same with the global on the stack.
    Object,
    Reduce,
    Build,
    NewObject,
    NewObjectWithNames,
    Extension(u32),
    PersistentId,
    PersistentIdOnStack,
    NextBuffer,
    ReadonlyBuffer,
}

/// The opcodes that are one byte.
pub(super) const fn without_operand<'a>(code: u8) -> Option<Op<'a>> {
    Some(match code {
        b'.' => Op::Stop,
        b'(' => Op::Stack(StackOp::Mark),
        b'0' => Op::Stack(StackOp::Pop),
        b'1' => Op::Stack(StackOp::PopMark),
        b'2' => Op::Stack(StackOp::Duplicate),
        b'N' => Op::Push(Node::None),
        0x88 => Op::Push(Node::Bool(true)),
        0x89 => Op::Push(Node::Bool(false)),
        b']' => Op::Push(Node::List(Vec::new())),
        b')' => Op::Push(Node::Tuple(Vec::new())),
        b'}' => Op::Push(Node::Dict(Vec::new())),
        0x8f => Op::Push(Node::Set(Vec::new())),
        b'l' => Op::Collect(CollectOp::List),
        b't' => Op::Collect(CollectOp::Tuple),
        b'd' => Op::Collect(CollectOp::Dict),
        0x91 => Op::Collect(CollectOp::FrozenSet),
        0x85 => Op::Collect(CollectOp::ShortTuple(1)),
        0x86 => Op::Collect(CollectOp::ShortTuple(2)),
        0x87 => Op::Collect(CollectOp::ShortTuple(3)),
        b'a' => Op::Collect(CollectOp::Append),
        b'e' => Op::Collect(CollectOp::Appends),
        b's' => Op::Collect(CollectOp::SetItem),
        b'u' => Op::Collect(CollectOp::SetItems),
        0x90 => Op::Collect(CollectOp::AddItems),
        0x94 => Op::Stack(StackOp::Memoize),
        0x93 => Op::Object(ObjectOp::StackGlobal),
        b'o' => Op::Object(ObjectOp::Object),
        b'R' => Op::Object(ObjectOp::Reduce),
        b'b' => Op::Object(ObjectOp::Build),
        0x81 => Op::Object(ObjectOp::NewObject),
        0x92 => Op::Object(ObjectOp::NewObjectWithNames),
        b'Q' => Op::Object(ObjectOp::PersistentIdOnStack),
        0x97 => Op::Object(ObjectOp::NextBuffer),
        0x98 => Op::Object(ObjectOp::ReadonlyBuffer),
        _ => return None,
    })
}
