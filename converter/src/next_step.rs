//! What to do about a checkpoint that was not imported: one step a kind of failure, for errors that do not say so
//! themselves.

use crate::fetch::FetchError;
use crate::import::ImportError;
use crate::pickle::PickleError;
use crate::source::SourceError;
use crate::torch::TorchError;
use detcon_core::checkpoint::FitError;

/// The file is not what was saved.
const DAMAGED: &str =
    "fetch or save the file again, and compare its SHA-256 with the one its publisher gives";
/// The file wants more than data.
const HOSTILE: &str =
    "do not load it in Python either; detcon-convert inspect lists every global it names";
/// The file wants something called of which nobody knows what it does.
const UNKNOWN_CALL: &str = "loading it in Python would call that: where you trust who made it, do so there, and \
                            torch.save(checkpoint[\"state_dict\"], NEW), or whatever key its weights are under";
/// The file has no weights by name.
const SAVE_WEIGHTS: &str = "in Python, torch.save(model.state_dict(), NEW)";
/// The file asks for more than any checkpoint.
const EXCESSIVE: &str = "no checkpoint comes near that, so do not use a file of unknown origin";
/// The file is whole, and something else.
const SOMETHING_ELSE: &str = "detcon-convert inspect shows what is in the file";
/// The training went wrong.
const DIVERGED: &str = "take a checkpoint from before the training diverged";
/// Nothing is at the address.
const ADDRESS: &str = "detcon-convert list shows what is published";
/// Nothing is at the path, or it may not be read.
const PATH: &str = "give the path of a file that can be read";

/// The next step after `error`, where its message does not end in one.
#[must_use]
pub fn next_step(error: &ImportError) -> Option<&'static str> {
    match error {
        ImportError::Fetch(error) => fetch(error),
        ImportError::Source(error) => source(error),
        ImportError::Torch(error) => torch(error),
        ImportError::Names(_) => Some(SOMETHING_ELSE),
        ImportError::Fit(error) => fit(error),
        ImportError::Prefix => Some("leave it out"),
        ImportError::Convention(_)
        | ImportError::Config(_)
        | ImportError::Normalization(_)
        | ImportError::Write(_) => None,
    }
}

/// The next step after a file was not had.
#[must_use]
pub const fn fetch(error: &FetchError) -> Option<&'static str> {
    match error {
        FetchError::Status { .. } | FetchError::TooLarge { .. } => Some(ADDRESS),
        FetchError::Digest { .. } | FetchError::Answer { .. } | FetchError::Index { .. } => {
            Some(DAMAGED)
        }
        FetchError::Redirect { .. } => Some("give the address that it leads to, if you trust it"),
        FetchError::Io { .. } => Some(PATH),
        FetchError::NoWeights { .. }
        | FetchError::Unreachable { .. }
        | FetchError::Interrupted { .. }
        | FetchError::NotCached { .. } => None,
    }
}

fn source(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::Unsupported { .. } => None,
        SourceError::Npy(_) | SourceError::Npz(_) | SourceError::Msgpack(_) => Some(DAMAGED),
        SourceError::Pickle(error) => Some(pickle(error)),
        SourceError::Haiku(_) => Some(SOMETHING_ELSE),
        SourceError::Torch(error) => torch(error),
    }
}

fn torch(error: &TorchError) -> Option<&'static str> {
    match error {
        TorchError::Archive(_) | TorchError::Safetensors { .. } | TorchError::Declared { .. } => {
            Some(DAMAGED)
        }
        TorchError::Pickle(error) => Some(pickle(error)),
        TorchError::NoTensors { .. } => Some(SAVE_WEIGHTS),
        TorchError::Dtype { .. }
        | TorchError::NoNetwork { .. }
        | TorchError::NoSuchDepth { .. }
        | TorchError::Stem { .. }
        | TorchError::Bottleneck { .. } => Some(SOMETHING_ELSE),
        TorchError::NotAStateDict { .. }
        | TorchError::ByteOrder
        | TorchError::WholeObject { .. }
        | TorchError::NotATensor { .. }
        | TorchError::SeveralNetworks { .. }
        | TorchError::NoSuchPrefix { .. }
        | TorchError::LookAlike { .. }
        | TorchError::NoAverages { .. } => None,
    }
}

const fn pickle(error: &PickleError) -> &'static str {
    match error {
        PickleError::ForbiddenGlobal { .. }
        | PickleError::GlobalNotText { .. }
        | PickleError::Extension { .. }
        | PickleError::NotCallable { .. }
        | PickleError::Arguments { .. }
        | PickleError::NoState { .. }
        | PickleError::Cyclic { .. } => HOSTILE,
        PickleError::UnknownCall { .. } => UNKNOWN_CALL,
        PickleError::Limit { .. } | PickleError::IntegerTooLarge { .. } => EXCESSIVE,
        PickleError::PersistentId { .. }
        | PickleError::OutOfBandBuffer { .. }
        | PickleError::UnsupportedDtype { .. }
        | PickleError::ObjectArray { .. } => SOMETHING_ELSE,
        PickleError::Truncated { .. }
        | PickleError::UnknownOpcode { .. }
        | PickleError::UnsupportedProtocol { .. }
        | PickleError::Frame { .. }
        | PickleError::Trailing { .. }
        | PickleError::InvalidText { .. }
        | PickleError::StackUnderflow { .. }
        | PickleError::LeftOver { .. }
        | PickleError::UnknownMemo { .. }
        | PickleError::WrongKind { .. }
        | PickleError::UnhashableKey { .. }
        | PickleError::DuplicateKey { .. }
        | PickleError::ArrayLength { .. }
        | PickleError::Unfinished { .. } => DAMAGED,
    }
}

const fn fit(error: &FitError) -> Option<&'static str> {
    match error {
        FitError::Mismatch { .. } | FitError::Twice { .. } | FitError::Shape { .. } => {
            Some(SOMETHING_ELSE)
        }
        FitError::Values { .. } | FitError::Variance { .. } => Some(DIVERGED),
        FitError::MovingAverages { .. } => None,
    }
}
