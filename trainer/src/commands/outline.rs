//! Annotations without a segmentation: the flag that says what becomes of them, and the line that names them.

use clap::ValueEnum;
use detcon_data::annotations::WithoutOutline;

/// Ids that are named.
const NAMED: usize = 5;

/// What becomes of an annotation without a segmentation, as the command line spells it.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum WithoutOutlineArgument {
    /// It is left out, and named.
    Skip,
    /// Its box is its outline.
    Box,
}

impl From<WithoutOutlineArgument> for WithoutOutline {
    fn from(argument: WithoutOutlineArgument) -> Self {
        match argument {
            WithoutOutlineArgument::Skip => Self::Skip,
            WithoutOutlineArgument::Box => Self::Box,
        }
    }
}

/// Says on standard error which annotations have no segmentation, and what became of them.
pub(super) fn tell_without_outline(ids: &[u64], what: WithoutOutline) {
    if ids.is_empty() {
        return;
    }
    let named: Vec<String> = ids.iter().take(NAMED).map(u64::to_string).collect();
    let more = if ids.len() > NAMED { " …" } else { "" };
    let what = match what {
        WithoutOutline::Skip => "left out (--without-outline box takes their boxes)",
        WithoutOutline::Box => "taken by their boxes",
    };
    let count = ids.len();
    eprintln!(
        "detcon-train: {count} annotations have no segmentation and are {what}: id {}{more}",
        named.join(", ")
    );
}
