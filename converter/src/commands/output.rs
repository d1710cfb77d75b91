//! Where a command writes: a model directory, or standard output.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::Args;
use detcon_converter::progress::suspended;
use detcon_core::files::Existing;

/// The model directory that a command makes.
#[derive(Args)]
pub(crate) struct ModelDirectoryArguments {
    /// Model directory to make; its last part is the model's name.
    #[arg(name = "MODEL_DIR")]
    pub(crate) place: PathBuf,
    /// Replace a directory that is there, once the new one is whole.
    #[arg(long)]
    force: bool,
}

impl ModelDirectoryArguments {
    pub(crate) const fn existing(&self) -> Existing {
        if self.force {
            Existing::Replace
        } else {
            Existing::Keep
        }
    }
}

/// Writes to standard output. A reader such as `head` may have seen enough: that is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match suspended(|| std::io::stdout().write_all(text.as_bytes())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
pub(crate) fn tell(line: &str) {
    suspended(|| eprintln!("detcon-convert: {line}"));
}
