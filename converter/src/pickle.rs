//! An unpickler that executes nothing.
//!
//! A pickle is a program for a stack machine that may import and call whatever Python can. This one knows a
//! short list of constructors of plain data ([`Constructor`]). Classes that are none make objects that are not built
//! ([`Value::Opaque`]); what could run code is an error that tells the name and the place. It reads protocols 0 to 5, borrows array data from the input, and meets every count and
//! length with a cap ([`Limits`]) before it allocates.
//!
//! Refused: any global that could run code, calls of what is not listed, extension codes, persistent ids, buffers
//! outside the file, cycles, duplicate keys, bytes after the end, and integers beyond 256 bits.

mod allow;
mod arena;
mod array;
mod collect;
mod construct;
mod dtype;
mod error;
mod escape;
mod foreign;
mod kind;
mod limits;
mod machine;
mod meaning;
mod numpy;
mod op;
mod reader;
mod seal;
mod shared;
mod stack;
mod storage;
mod torch;
mod value;

pub use allow::Constructor;
pub use array::{Array, ArrayError};
pub use dtype::{AxisOrder, ByteOrder, DType, Encoding};
pub use error::{Limit, PickleError};
pub use kind::Kind;
pub use limits::Limits;
pub use machine::{GlobalUse, Verdict};
pub use shared::{Data, Text};
pub use storage::{StorageSizes, Storages};
pub use value::{ClassName, Value};

pub(crate) use error::readable;
use machine::{Machine, Policy};
use reader::Reader;
use storage::Outside;

/// Reads a pickle that fills `bytes`.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Value<'a>, PickleError> {
    parse_from(bytes, 0, limits)
}

/// Reads a pickle that starts at `start` in `bytes` and fills the rest. Errors count from the start of `bytes`.
pub fn parse_from<'a>(
    bytes: &'a [u8],
    start: usize,
    limits: &Limits,
) -> Result<Value<'a>, PickleError> {
    run(
        Machine::new(limits, Policy::Build),
        Reader::new(bytes, start, limits),
    )
}

/// Reads a pickle as [`parse_from`] does, whose persistent ids name `storages`: PyTorch's.
pub fn parse_with<'a>(
    bytes: &'a [u8],
    start: usize,
    limits: &Limits,
    storages: &Storages<'a>,
) -> Result<Value<'a>, PickleError> {
    let mut machine = Machine::new(limits, Policy::Build);
    machine.outside = Outside::Storages(storages);
    run(machine, Reader::new(bytes, start, limits))
}

/// Reads a pickle that starts at `start` in `bytes`, and tells where it ends: others may follow.
pub fn parse_first<'a>(
    bytes: &'a [u8],
    start: usize,
    limits: &Limits,
) -> Result<(Value<'a>, usize), PickleError> {
    let mut machine = Machine::new(limits, Policy::Build);
    let mut reader = Reader::new(bytes, start, limits);
    let root = machine.run(&mut reader)?;
    let value = seal::seal(&machine.arena, root, machine.limits)?;
    Ok((value, reader.position()))
}

/// Runs through a pickle of PyTorch's that starts at `start` in `bytes`, and tells which storages it names, and where
/// it ends: they follow, in an order of their own.
pub fn storage_sizes(
    bytes: &[u8],
    start: usize,
    limits: &Limits,
) -> Result<(StorageSizes, usize), PickleError> {
    let mut machine = Machine::new(limits, Policy::Build);
    machine.outside = Outside::Sizes(StorageSizes::new());
    let mut reader = Reader::new(bytes, start, limits);
    machine.run(&mut reader)?;
    let sizes = match machine.outside {
        Outside::Sizes(sizes) => sizes,
        Outside::Nothing | Outside::Storages(_) => StorageSizes::new(),
    };
    Ok((sizes, reader.position()))
}

fn run<'a>(mut machine: Machine<'a, '_>, mut reader: Reader<'a>) -> Result<Value<'a>, PickleError> {
    let root = machine.run(&mut reader)?;
    match reader.remaining() {
        0 => seal::seal(&machine.arena, root, machine.limits),
        count => Err(PickleError::Trailing {
            offset: reader.position(),
            count,
        }),
    }
}

/// Every global that a pickle names, and how far the reading came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globals<'a> {
    /// The globals in the file's order, one for each place that names one.
    pub uses: Vec<GlobalUse<'a>>,
    /// Why the reading stopped before the pickle's end, if it did. Globals after that point are not listed.
    pub stopped: Option<PickleError>,
}

/// Lists the globals of a pickle that starts at `start` in `bytes`, without building anything: also of files
/// that [`parse`] refuses.
#[must_use]
pub fn globals<'a>(bytes: &'a [u8], start: usize, limits: &Limits) -> Globals<'a> {
    let mut reader = Reader::new(bytes, start, limits);
    let mut machine = Machine::new(limits, Policy::List(Vec::new()));
    let stopped = machine.run(&mut reader).err();
    match machine.policy {
        Policy::List(uses) => Globals { uses, stopped },
        Policy::Build => Globals {
            uses: Vec::new(),
            stopped,
        },
    }
}
