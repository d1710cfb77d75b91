//! Why a pickle was refused. Every offset counts from the start of the file, not of the pickle inside it.

use std::fmt;

use super::allow::Constructor;
use super::kind::Kind;

/// A pickle that is damaged, hostile, or not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The input ends inside an opcode or before the pickle's end.
    #[error("the pickle is cut off: byte {offset} asks for {needed} bytes and {left} are left")]
    Truncated {
        /// Where the opcode is.
        offset: usize,
        /// How many bytes it asks for.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// A byte that no protocol gives a meaning.
    #[error("byte {offset} is no pickle opcode (0x{code:02x}): the file is damaged or no pickle")]
    UnknownOpcode {
        /// Where it is.
        offset: usize,
        /// The byte.
        code: u8,
    },
    /// A protocol that does not exist yet.
    #[error("byte {offset} declares pickle protocol {protocol}; 0 to 5 are known")]
    UnsupportedProtocol {
        /// Where it is declared.
        offset: usize,
        /// Its number.
        protocol: u8,
    },
    /// A frame that nests, or an opcode that crosses a frame's end.
    #[error("the pickle's frames do not fit its opcodes at byte {offset}: the file is damaged")]
    Frame {
        /// Where the opcode is.
        offset: usize,
    },
    /// Bytes follow the pickle's end.
    #[error(
        "the pickle ends at byte {offset} but {count} bytes follow: the file is damaged or holds several pickles"
    )]
    Trailing {
        /// The first byte after the end.
        offset: usize,
        /// How many follow.
        count: usize,
    },
    /// Text that is not UTF-8, or an escape, integer or float that cannot be read.
    #[error("the text of the pickle opcode at byte {offset} cannot be read: the file is damaged")]
    InvalidText {
        /// Where the opcode is.
        offset: usize,
    },
    /// An integer longer than any that is read or left out.
    #[error("the integer at byte {offset} is too large: no checkpoint holds one")]
    IntegerTooLarge {
        /// Where it is.
        offset: usize,
    },
    /// A cap was met.
    #[error("the pickle goes past {limit} at byte {offset}: {allowed} is the most allowed")]
    Limit {
        /// Where it was met.
        offset: usize,
        /// Which one.
        limit: Limit,
        /// The most that is allowed.
        allowed: u64,
    },
    /// An opcode takes a value that is not there.
    #[error(
        "the pickle opcode at byte {offset} takes a value that is not there: the file is damaged or hostile"
    )]
    StackUnderflow {
        /// Where the opcode is.
        offset: usize,
    },
    /// The end leaves more than the one value it returns.
    #[error(
        "the pickle ends at byte {offset} with {count} values left over: the file is damaged or hostile"
    )]
    LeftOver {
        /// Where the end is.
        offset: usize,
        /// How many values are left.
        count: usize,
    },
    /// A memo entry that was never stored.
    #[error("the pickle asks at byte {offset} for memo entry {entry}, which was never stored")]
    UnknownMemo {
        /// Where it asks.
        offset: usize,
        /// The entry.
        entry: u64,
    },
    /// An opcode meets a value of the wrong kind, such as an item appended to a mapping.
    #[error(
        "the pickle opcode at byte {offset} meets {found}, which it cannot work on: the file is damaged or hostile"
    )]
    WrongKind {
        /// Where the opcode is.
        offset: usize,
        /// What it met.
        found: Kind,
    },
    /// A mapping's key that Python could not hash.
    #[error("a mapping at byte {offset} has {found} as a key: the file is damaged or hostile")]
    UnhashableKey {
        /// Where the mapping or the opcode that fills it is.
        offset: usize,
        /// What the key is.
        found: Kind,
    },
    /// A mapping names a key twice.
    #[error("a mapping at byte {offset} has the key {key:?} twice: the file is damaged or hostile")]
    DuplicateKey {
        /// Where the mapping is.
        offset: usize,
        /// The key.
        key: String,
    },
    /// A global that is not on the allow-list.
    #[error(
        "pickle wants to call {module}.{name} at byte {offset}: only data constructors are allowed; \
         the file is not a checkpoint or is hostile"
    )]
    ForbiddenGlobal {
        /// Where it is named.
        offset: usize,
        /// Its module, escaped and cut to a readable length.
        module: String,
        /// Its name, likewise.
        name: String,
    },
    /// A call of something of which nobody knows here what it does.
    #[error(
        "pickle wants to call {module}.{name} at byte {offset}, and what that does is not known: only data constructors are \
         allowed"
    )]
    UnknownCall {
        /// Where it is named.
        offset: usize,
        /// Its module, escaped and cut to a readable length.
        module: String,
        /// Its name, likewise.
        name: String,
    },
    /// A global whose name is not text.
    #[error(
        "pickle names a global at byte {offset} by something that is not text: the file is hostile"
    )]
    GlobalNotText {
        /// Where it is named.
        offset: usize,
    },
    /// An entry of `copyreg`'s extension registry, which names a class that the file does not show.
    #[error(
        "pickle wants extension {code} at byte {offset}: only data constructors are allowed; the file is not a checkpoint or is hostile"
    )]
    Extension {
        /// Where it is.
        offset: usize,
        /// Its code.
        code: u32,
    },
    /// An object that lives outside the file, as in PyTorch's archives.
    #[error(
        "pickle refers to an object outside the file at byte {offset}: it is part of an archive (PyTorch's, say), not a checkpoint by itself"
    )]
    PersistentId {
        /// Where it is.
        offset: usize,
    },
    /// A buffer that was sent beside the pickle.
    #[error(
        "pickle refers to a buffer outside the file at byte {offset}: it was written with out-of-band buffers and is not complete"
    )]
    OutOfBandBuffer {
        /// Where it is.
        offset: usize,
    },
    /// Something that is no constructor is called.
    #[error(
        "pickle wants to call {found} at byte {offset}: only data constructors are allowed; the file is not a checkpoint or is hostile"
    )]
    NotCallable {
        /// Where it is called.
        offset: usize,
        /// What is called.
        found: Kind,
    },
    /// An allowed constructor with arguments that its library does not write.
    #[error(
        "{constructor} at byte {offset} has arguments that its library never writes: the file is damaged or hostile"
    )]
    Arguments {
        /// Where it is called.
        offset: usize,
        /// Which one.
        constructor: Constructor,
    },
    /// State is set on something other than an array or a data type.
    #[error(
        "pickle wants to set the state of {found} at byte {offset}: only arrays have one; the file is not a checkpoint or is hostile"
    )]
    NoState {
        /// Where it is set.
        offset: usize,
        /// On what.
        found: Kind,
    },
    /// A data type that checkpoints do not hold.
    #[error(
        "the array type {code:?} at byte {offset} is not supported: parameters are floats or integers of fixed size"
    )]
    UnsupportedDtype {
        /// Where it is.
        offset: usize,
        /// NumPy's code for it, escaped and cut to a readable length.
        code: String,
    },
    /// An array of Python objects other than the one box that `numpy.save` puts around a mapping.
    #[error(
        "the array at byte {offset} holds {count} Python objects: only a single boxed object is supported"
    )]
    ObjectArray {
        /// Where it is.
        offset: usize,
        /// How many.
        count: usize,
    },
    /// An array's bytes are not those that its shape and type need.
    #[error(
        "the array at byte {offset} of shape {shape:?} needs {needed} bytes and has {found}: the file is damaged"
    )]
    ArrayLength {
        /// Where it is.
        offset: usize,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes that the shape and type need.
        needed: usize,
        /// Bytes that the file has.
        found: usize,
    },
    /// An array or data type that was begun and never filled.
    #[error("the array begun at byte {offset} was never filled: the file is damaged")]
    Unfinished {
        /// Where it was begun.
        offset: usize,
    },
    /// A value that holds itself.
    #[error("the value at byte {offset} holds itself: no checkpoint does")]
    Cyclic {
        /// Where it is.
        offset: usize,
    },
}

/// A cap of [`super::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `opcodes`
    Opcodes,
    /// `memo_entries`
    MemoEntries,
    /// `depth`
    Depth,
    /// `values`
    Values,
    /// `string_bytes`
    StringBytes,
    /// `name_bytes`
    NameBytes,
    /// `array_rank`
    ArrayRank,
    /// `array_bytes`
    ArrayBytes,
    /// `total_array_bytes`
    TotalArrayBytes,
    /// Bytes decoded from escaped strings: never more than the file has.
    DecodedBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Opcodes => "the number of opcodes",
            Self::MemoEntries => "the number of memo entries",
            Self::Depth => "the depth of nesting",
            Self::Values => "the number of values",
            Self::StringBytes => "the length of a string in bytes",
            Self::NameBytes => "the length of a name in bytes",
            Self::ArrayRank => "the number of an array's axes",
            Self::ArrayBytes => "the bytes of an array",
            Self::TotalArrayBytes => "the bytes of all arrays",
            Self::DecodedBytes => "the bytes decoded from strings",
        })
    }
}

/// A name from the file in a form that a terminal can show: escaped, and cut where it is absurdly long.
pub(crate) fn readable(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = name
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
